import { isValidContext, type SpanContext, TraceFlags } from "./context.ts";
import { parseTracestate } from "./tracestate.ts";

const KNOWN_FLAGS = TraceFlags.SAMPLED | TraceFlags.RANDOM;

/**
 * A copy of a context that came from a caller, who may have no types, or from stored text: fit to be exported and to be
 * sent on. `undefined` where its ids are not valid.
 */
export function checkContext(input: unknown): SpanContext | undefined {
  if (typeof input !== "object" || input === null) return undefined;
  const { traceId, spanId, traceFlags, traceState, isRemote } = input as SpanContext;
  if (typeof traceId !== "string" || typeof spanId !== "string" || !isValidContext(input as SpanContext))
    return undefined;
  return {
    traceId,
    spanId,
    traceFlags: Number.isInteger(traceFlags) ? traceFlags & KNOWN_FLAGS : 0,
    traceState: typeof traceState === "string" && traceState !== "" ? parseTracestate(traceState) : "",
    isRemote: isRemote === true,
  };
}
