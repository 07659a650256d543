/** Requests of the log as text: what they hold, what of them is one trace, and how they leave the object. Pure. */

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

/** A request, an element of `resourceSpans` at a time. */
export function* requestText(first: string, others: Generator<string>): Generator<string, undefined> {
  yield `${REQUEST_HEAD}${first}`;
  for (const group of others) yield `,${group}`;
  yield REQUEST_END;
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
