/**
 * Decides in which trace, and below which span, a span of an agent's command belongs. Pure.
 *
 * 1. A span in a trace in which the session works (its program took up the context) stays in it and keeps its parent. Without a parent
 *    it gets the call's span as its parent.
 * 2. Any other trace is foreign: all its spans, and all links to it, get the call's trace id. Its roots get the call's span as their
 *    parent. A root is a span without a parent: a span whose parent never arrives is none, and keeps its parent.
 *    Roots, and spans whose parent is in another process, keep the foreign id as `valet.adopted.trace_id`, as does a link to another
 *    foreign trace than that of its span.
 * 3. A span that began after its call had ended outlived it. It goes into a trace of its own, which is the same for all spans of its
 *    original trace; its root, or what was below the call's span, has no parent there but links to the call's span as `caused_by`.
 *
 * A span belongs to the call whose address and secret it was sent with, whatever else runs in that trace, so the spans of a process that
 * outlives its call stay together. In case 1 it may work for another call, as a server does: see {@link callAbove}.
 */
import type { SpanContext } from "@valet/shared/tracing";
import type { Call } from "./calls.ts";

/** What the placement depends on of a span. Ids are lower-case hex, times nanoseconds since 1970. */
export interface SpanIds {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** Whether the span says that its parent is in another process. */
  readonly isParentRemote: boolean;
  readonly startNs: bigint;
}

export interface Placement {
  readonly traceId: string;
  readonly parentSpanId: string | undefined;
  readonly isParentRemote: boolean;
  /** `valet.adopted.trace_id`. */
  readonly adoptedTraceId: string | undefined;
  /** The span of the call that this one outlived. */
  readonly causedBy: SpanContext | undefined;
}

export interface Surroundings {
  /** The call that the span was sent for. */
  readonly call: Call;
  /** Returns the call that a span in a trace of the session works for; `undefined` for an unknown span. */
  workFor(spanId: string): Call | undefined;
  find(traceId: string, spanId: string): Call | undefined;
  ofTrace(traceId: string): readonly Call[];
  /** Returns the id of a trace of the session for spans that outlived their call. The same name yields the same id. */
  lateTraceId(name: string): string;
}

/** The clocks of processes on one machine agree; the agent reports the end of a tool in whole milliseconds. */
const TOLERANCE_NS = 100_000_000n;

export function placeSpan(span: SpanIds, surroundings: Surroundings): Placement {
  const { ofTrace } = surroundings;
  return ofTrace(span.traceId).length === 0 ? adopted(span, surroundings) : joined(span, surroundings);
}

/**
 * Returns the call that a span works for which names a trace of the session:
 *
 * 1. the call whose span is its parent;
 * 2. the call that its parent works for, if that is known;
 * 3. the call that it was sent for, if that is in the trace;
 * 4. of the calls that had begun by then, the one that ends last: an earlier turn started the process, a server for example.
 *
 * Only the second depends on what came before, and only where a process that one call started works for another one.
 */
export function callAbove({ traceId, parentSpanId, startNs }: SpanIds, surroundings: Surroundings): Call {
  const { call, find, workFor, ofTrace } = surroundings;
  if (parentSpanId === undefined) return call;
  const above = find(traceId, parentSpanId) ?? workFor(parentSpanId);
  if (above !== undefined) return above;
  if (call.context.traceId === traceId) return call;
  const begun = ofTrace(traceId).filter((each) => each.startNs <= startNs);
  return (
    begun.reduce<Call | undefined>(
      (last, each) => (last !== undefined && endsBefore(each, last) ? last : each),
      undefined,
    ) ?? call
  );
}

/** Returns the trace id of a link, and its foreign id if that is not the one of its span. */
export function placeLink(
  linkTraceId: string,
  spanTraceId: string,
  { call, ofTrace }: Pick<Surroundings, "call" | "ofTrace">,
  placedTraceId: string,
): { readonly traceId: string; readonly adoptedTraceId: string | undefined } {
  if (linkTraceId === spanTraceId) return { traceId: placedTraceId, adoptedTraceId: undefined };
  if (ofTrace(linkTraceId).length > 0) return { traceId: linkTraceId, adoptedTraceId: undefined };
  return { traceId: call.context.traceId, adoptedTraceId: linkTraceId };
}

function adopted(span: SpanIds, { call, lateTraceId }: Surroundings): Placement {
  const { traceId, parentSpanId, isParentRemote } = span;
  const isTop = parentSpanId === undefined || isParentRemote;
  const adoptedTraceId = isTop ? traceId : undefined;
  if (isAfter(span, call.endNs)) {
    const late = lateTraceId(`${call.context.spanId} ${traceId}`);
    return { traceId: late, parentSpanId, isParentRemote, adoptedTraceId, causedBy: isTop ? call.context : undefined };
  }
  return {
    traceId: call.context.traceId,
    parentSpanId: parentSpanId ?? call.context.spanId,
    isParentRemote: parentSpanId === undefined || isParentRemote,
    adoptedTraceId,
    causedBy: undefined,
  };
}

function joined(span: SpanIds, surroundings: Surroundings): Placement {
  const { traceId, parentSpanId, isParentRemote } = span;
  const { call, find, lateTraceId } = surroundings;
  const parentCall = parentSpanId === undefined ? call : find(traceId, parentSpanId);
  if (isAfter(span, callAbove(span, surroundings).endNs)) {
    return {
      traceId: lateTraceId(traceId),
      parentSpanId: parentCall === undefined ? parentSpanId : undefined,
      isParentRemote: parentCall === undefined && isParentRemote,
      adoptedTraceId: undefined,
      causedBy: parentCall?.context,
    };
  }
  return {
    // A root that names a trace of the session belongs to the call that it was sent for.
    traceId: parentSpanId === undefined ? call.context.traceId : traceId,
    parentSpanId: parentSpanId ?? call.context.spanId,
    isParentRemote: parentCall !== undefined || isParentRemote,
    adoptedTraceId: undefined,
    causedBy: undefined,
  };
}

function endsBefore({ endNs }: Call, other: Call): boolean {
  return endNs !== undefined && (other.endNs === undefined || endNs < other.endNs);
}

function isAfter({ startNs }: SpanIds, endNs: bigint | undefined): boolean {
  return endNs !== undefined && startNs > endNs + TOLERANCE_NS;
}
