/** What the index of traces keeps of the object's spans. Pure. */
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { type OpenSpan, type ReadableSpan, StatusCode } from "@valet/shared/tracing";
import { saidMs } from "../core/iso-time.ts";
import { levelOf, outcomeOf, SEALED_KEY, type SpanFacts } from "./otlp-request.ts";
import { partialCostOf, usageOf } from "./span-usage.ts";

/** Returns the facts of an ended span. */
export function factsOf(span: ReadableSpan): SpanFacts {
  const { context, parent, endTime = span.startTime, attributes } = span;
  const facts = openFactsOf(span);
  return {
    ...facts,
    ...partialCostOf(facts, (key) => valueIn(attributes, key)),
    traceId: context.traceId,
    endUs: toMicros(endTime),
    level: levelOf(parent),
  };
}

/** Returns what a skeleton has of a span that has not ended. */
export function openFactsOf(span: ReadableSpan | OpenSpan): SkeletonSpan {
  const { attributes } = span;
  const seenMs = valueIn(attributes, SEALED_KEY);
  return {
    spanId: span.context.spanId,
    parentSpanId: span.parent?.spanId,
    name: span.name,
    kind: span.kind,
    startUs: toMicros(span.startTime),
    outcome: outcomeOf(valueIn(attributes, "valet.outcome")),
    isError: "statusCode" in span && span.statusCode === StatusCode.ERROR,
    isSealed: seenMs !== undefined,
    lastSeenMs: saidMs(seenMs),
    usage: usageOf(span.name, (key) => valueIn(attributes, key)),
    links: span.links.map(({ context, attributes: ofLink }) => {
      const type = valueIn(ofLink, "valet.link.type");
      return { traceId: context.traceId, spanId: context.spanId, type: typeof type === "string" ? type : undefined };
    }),
  };
}

/** Returns the value of an attribute; `undefined` if the list has none of that key. */
function valueIn(list: OpenSpan["attributes"], key: string): unknown {
  for (let at = 0; at < list.length; at += 2) if (list[at] === key) return list[at + 1];
  return undefined;
}

/** Returns a time in microseconds since the epoch. */
export function toMicros({ seconds, nanos }: { seconds: number; nanos: number }): number {
  return seconds * 1e6 + Math.floor(nanos / 1000);
}
