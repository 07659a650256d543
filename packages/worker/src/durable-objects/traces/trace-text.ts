/** Requests of the log as text: their spans, their parts of one trace, and how they leave the object. Pure. */
import { DROP_REASONS } from "@valet/shared/spans";
import type { DropReason } from "@valet/shared/tracing";
import { isAdoptedResource } from "./adopted-spans.ts";

/** The text before the elements of `resourceSpans` in every request of the log. */
export const REQUEST_HEAD = '{"resourceSpans":[';
export const REQUEST_END = "]}";

interface WireRequest {
  resourceSpans: { resource: unknown; scopeSpans: { scope: unknown; spans: WireSpan[] }[] }[];
}

/** A span as it is stored, as far as it is read again. */
export interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly name: string;
  readonly attributes?: readonly { readonly key: string; readonly value: object }[];
}

/** Returns all spans of a request. */
export function spansOf(text: string): WireSpan[] {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

/** Returns the spans of each scope of a request, as comma-separated texts. */
export function bodiesOf(text: string): string[] {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.map(({ spans }) => JSON.stringify(spans).slice(1, -1)));
}

interface WireReport {
  name: string;
  attributes?: { key: string; value: { intValue?: unknown } }[];
}

/** Returns whether a request has nothing but reports of drops. */
export function hasOnlyReports(text: string): boolean {
  const { resourceSpans } = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: WireReport[] }[] }[] };
  return resourceSpans.every(({ scopeSpans }) => scopeSpans.every(({ spans }) => spans.every(isReport)));
}

const isReport = ({ name }: WireReport) => name === "valet.trace_plane.dropped";

/** Returns the drops that a request itself reports; when the request is lost, they have to be reported again. */
export function reportedDrops(text: string): { reason: DropReason; spans: number }[] {
  const { resourceSpans } = JSON.parse(text) as {
    resourceSpans: { resource: unknown; scopeSpans: { spans: WireReport[] }[] }[];
  };
  const own = resourceSpans.filter(({ resource }) => !isAdoptedResource(resource));
  const spans = own.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans));
  const reports = spans.filter(isReport);
  return reports
    .flatMap(({ attributes = [] }) => attributes)
    .flatMap(({ key, value: { intValue } }) => {
      const reason = DROP_REASONS.find((each) => key === `valet.dropped_spans.${each}`);
      // A runner may send any value.
      return reason !== undefined && Number.isSafeInteger(Number(intValue)) && Number(intValue) > 0
        ? [{ reason, spans: Number(intValue) }]
        : [];
    });
}

/** Returns the parts of a request that belong to the trace, as elements of `resourceSpans`. */
export function groupsOfTrace(text: string, traceId: string): string[] {
  return groupsWith(text, (span) => span.traceId === traceId);
}

/** Returns the spans of a request that are wanted, as elements of `resourceSpans`. */
export function groupsWith(text: string, isWanted: (span: WireSpan) => boolean): string[] {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const kept = scopeSpans
      .map(({ scope, spans }) => ({ scope, spans: spans.filter(isWanted) }))
      .filter(({ spans }) => spans.length > 0);
    return kept.length === 0 ? [] : [JSON.stringify({ resource, scopeSpans: kept })];
  });
}

/**
 * Returns some of a request's spans, in order, as a request of their own.
 * @param first how many spans to skip
 * @returns also how many spans it has, and how many follow
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
 * Yields a request, one element of `resourceSpans` at a time.
 * @param others the elements after the first; returns the cursor of the next page, if there is one
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

/** Returns the end of a full page: a request without spans, which every reader accepts. */
export function fullPage(nextCursor: string): string {
  return `${REQUEST_HEAD}]${cursorField(nextCursor)}}`;
}

function cursorField(nextCursor: string): string {
  return `,"nextCursor":${JSON.stringify(nextCursor)}`;
}

/** Returns a byte stream, since only such a stream can leave an object by RPC. */
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
