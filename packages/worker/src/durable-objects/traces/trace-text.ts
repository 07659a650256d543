/** Requests of the log as text: what they hold, what of them is one trace, and how they leave the object. Pure. */
import { DROP_REASONS } from "@valet/shared/spans";
import type { DropReason } from "@valet/shared/tracing";

/** What stands around the elements of `resourceSpans` in every request of the log. */
export const REQUEST_HEAD = '{"resourceSpans":[';
export const REQUEST_END = "]}";

interface WireRequest {
  resourceSpans: {
    resource: unknown;
    scopeSpans: { scope: unknown; spans: { traceId: string; spanId: string }[] }[];
  }[];
}

/** The ids of all spans of a request. */
export function spansOf(text: string): { traceId: string; spanId: string }[] {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

interface WireReport {
  name: string;
  attributes?: { key: string; value: { intValue?: unknown } }[];
}

/** What a request's own reports say was dropped: whoever loses the request has to say it again. */
export function reportedDrops(text: string): { reason: DropReason; spans: number }[] {
  const { resourceSpans } = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: WireReport[] }[] }[] };
  const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans));
  const reports = spans.filter(({ name }) => name === "valet.trace_plane.dropped");
  return reports
    .flatMap(({ attributes = [] }) => attributes)
    .flatMap(({ key, value: { intValue } }) => {
      const reason = DROP_REASONS.find((each) => key === `valet.dropped_spans.${each}`);
      // A runner may write what it likes.
      return reason !== undefined && Number.isSafeInteger(Number(intValue)) && Number(intValue) > 0
        ? [{ reason, spans: Number(intValue) }]
        : [];
    });
}

/** What of a request belongs to the trace, as elements of `resourceSpans`. */
export function groupsOfTrace(text: string, traceId: string): string[] {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const kept = scopeSpans
      .map(({ scope, spans }) => ({ scope, spans: spans.filter((span) => span.traceId === traceId) }))
      .filter(({ spans }) => spans.length > 0);
    return kept.length === 0 ? [] : [JSON.stringify({ resource, scopeSpans: kept })];
  });
}

/**
 * Some of a request's spans, in their order, as a request of their own.
 * @param first how many stand before them
 * @returns how many they are, and how many come after them
 */
export function partOfRequest(
  text: string,
  first: number,
  most: number,
): { text: string; spans: number; left: number } {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  let place = 0;
  const isOfPart = () => place++ >= first && place <= first + most;
  const groups = resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const kept = scopeSpans.map(({ scope, spans }) => ({ scope, spans: spans.filter(isOfPart) }));
    const held = kept.filter(({ spans }) => spans.length > 0);
    return held.length === 0 ? [] : [JSON.stringify({ resource, scopeSpans: held })];
  });
  const end = Math.min(place, first + most);
  return {
    text: `${REQUEST_HEAD}${groups.join(",")}${REQUEST_END}`,
    spans: Math.max(end - first, 0),
    left: place - end,
  };
}

/**
 * A request, an element of `resourceSpans` at a time.
 * @param others the elements after the first; returns the cursor of the page after this one, if there is one
 */
export function* requestText(
  first: string,
  others: Generator<string, string | undefined>,
): Generator<string, undefined> {
  yield `${REQUEST_HEAD}${first}`;
  let next = others.next();
  for (; !next.done; next = others.next()) yield `,${next.value}`;
  yield next.value === undefined ? REQUEST_END : `]${cursorField(next.value)}}`;
}

/** What says that a page is full: a request without spans, which every reader of requests takes. */
export function fullPage(nextCursor: string): string {
  return `${REQUEST_HEAD}]${cursorField(nextCursor)}}`;
}

function cursorField(nextCursor: string): string {
  return `,"nextCursor":${JSON.stringify(nextCursor)}`;
}

/** Of bytes, as only such a stream leaves an object by RPC. */
export function streamOf(texts: Generator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    type: "bytes",
    pull: (controller) => {
      const { done, value } = texts.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
  });
}
