/** What the index of traces keeps of the object's spans. Pure. */
import { type ReadableSpan, StatusCode } from "@valet/shared/tracing";
import { levelOf, type SpanFacts } from "./otlp-request.ts";

/** Returns the facts of an ended span. */
export function factsOf(span: ReadableSpan): SpanFacts {
  const { context, parent, name, startTime, endTime = startTime, statusCode } = span;
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    name,
    startUs: toMicros(startTime),
    endUs: toMicros(endTime),
    isError: statusCode === StatusCode.ERROR,
    level: levelOf(parent),
  };
}

/** Returns a time in microseconds since the epoch. */
export function toMicros({ seconds, nanos }: { seconds: number; nanos: number }): number {
  return seconds * 1e6 + Math.floor(nanos / 1000);
}
