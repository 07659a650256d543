import { KNOWN_FLAGS, RANDOM, SAMPLED } from "./codes.ts";
import { isValidSpanId, isValidTraceId, ZEROS } from "./ids.ts";
import { parseTracestate } from "./tracestate.ts";

/** The part of a span that is propagated across process boundaries: W3C Trace Context Level 2. */
export interface SpanContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  /** The bits of {@link TraceFlags}; others are never set. */
  readonly traceFlags: number;
  /** The `tracestate` header, valid; empty when there is none. */
  readonly traceState: string;
  /** Whether the context came from another process. */
  readonly isRemote: boolean;
}

/** Trace Context Level 2, section 3.2.2.5. */
export const TraceFlags = { SAMPLED, RANDOM } as const;

/** The context of a span that was never started. It is not valid, so it is never propagated. */
export const INVALID_CONTEXT: SpanContext = /* @__PURE__ */ Object.freeze({
  traceId: ZEROS,
  spanId: ZEROS.slice(16),
  traceFlags: 0,
  traceState: "",
  isRemote: false,
});

/** Returns whether both ids are valid. */
export function isValidContext(context: SpanContext): boolean {
  return isValidTraceId(context.traceId) && isValidSpanId(context.spanId);
}

/** Returns whether the `sampled` flag is set. */
export function isSampled(context: SpanContext): boolean {
  return (context.traceFlags & SAMPLED) !== 0;
}

/**
 * Validates a context from an untyped caller or from stored text. Returns a copy that can be exported and propagated; `undefined`
 * if its ids are not valid.
 */
export function checkContext(input: unknown): SpanContext | undefined {
  const { traceId, spanId, traceFlags, traceState, isRemote } = (input ?? {}) as SpanContext;
  if (!isValidTraceId(traceId) || !isValidSpanId(spanId)) return undefined;
  return {
    traceId,
    spanId,
    traceFlags: Number.isInteger(traceFlags) ? traceFlags & KNOWN_FLAGS : 0,
    traceState: typeof traceState === "string" && traceState ? parseTracestate(traceState) : "",
    isRemote: isRemote === true,
  };
}

/** Version 00 has no suffix, and version ff is invalid. {@link checkContext} validates the ids. */
const TRACEPARENT = /^(?!00.{54}|ff)[0-9a-f]{2}-(\w+)-(\w+)-([0-9a-f]{2})(?:$|-)/s;

/**
 * Parses a `traceparent`. Returns `undefined` for anything that Level 2 section 3.2 forbids: upper-case hex, version ff, all-zero
 * ids, a version 00 with a suffix, a higher version whose 55 characters are not followed by the end or by `-`.
 * Flags that Level 2 does not define are dropped, so that they are propagated as zero.
 * @param traceState the `tracestate` of the same request
 */
export function parseTraceparent(header: string, traceState = ""): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(header) ?? [];
  return checkContext({ traceId, spanId, traceFlags: Number(`0x${flags}`), traceState, isRemote: true });
}

/** Formats a `traceparent`, always of version 00. */
export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & KNOWN_FLAGS}`;
}
