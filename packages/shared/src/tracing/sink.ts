import type { ReadableSpan } from "./readable-span.ts";

/**
 * Where spans go. Both calls are synchronous and made at the moment itself, so that a sink may store a span in the same
 * transaction as the state it describes. A sink that throws is reported, never felt by the caller of the tracer.
 */
export interface SpanSink {
  /** The span has begun. What it will still record is seen by reading it later. */
  onStart(span: ReadableSpan): void;
  /** The span has ended and will not change any more. */
  onEnd(span: ReadableSpan): void;
}
