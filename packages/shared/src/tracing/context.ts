import { isValidSpanId, isValidTraceId } from "./ids.ts";

/** What crosses a process boundary of a span: W3C Trace Context Level 2. */
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
export const TraceFlags = {
  /** The caller may have recorded this trace. */
  SAMPLED: 0x01,
  /** The trace id's right 7 bytes are random. */
  RANDOM: 0x02,
} as const;

const KNOWN_FLAGS = TraceFlags.SAMPLED | TraceFlags.RANDOM;
const VERSION_00_LENGTH = 55;

/** The context of nothing: what a span that was never started carries. Not valid, so never sent. */
export const INVALID_CONTEXT: SpanContext = Object.freeze({
  traceId: "0".repeat(32),
  spanId: "0".repeat(16),
  traceFlags: 0,
  traceState: "",
  isRemote: false,
});

export function isValidContext(context: SpanContext): boolean {
  return isValidTraceId(context.traceId) && isValidSpanId(context.spanId);
}

export function isSampled(context: SpanContext): boolean {
  return (context.traceFlags & TraceFlags.SAMPLED) !== 0;
}

/**
 * Reads a `traceparent`. `undefined` for anything that Level 2 section 3.2 forbids: upper-case hex, version ff, all-zero
 * ids, a version 00 with a suffix, a higher version whose 55 characters are not followed by the end or by `-`.
 * Flags that Level 2 does not know are dropped, so that they go out as zero.
 */
export function parseTraceparent(header: string): SpanContext | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/.exec(header);
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags] = match as unknown as [string, string, string, string, string];
  if (version === "ff" || (version === "00" && header.length !== VERSION_00_LENGTH)) return undefined;
  if (!isValidTraceId(traceId) || !isValidSpanId(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & KNOWN_FLAGS, traceState: "", isRemote: true };
}

/** Writes a `traceparent`, always of version 00. */
export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & KNOWN_FLAGS}`;
}
