import type { ReadableSpan } from "./readable-span.ts";

/**
 * Sees spans begin and end, as OpenTelemetry's `SpanProcessor` does. Both calls are synchronous and made at the moment itself, so that
 * a processor may store a span in the same transaction as the state that it describes. What a processor throws is reported to
 * `onDiagnostic` and never reaches the code that is traced.
 *
 * It differs from the SDK's (Trace SDK, "Span Processor"):
 * - A tracer has one processor and no provider: who wants several passes one that calls them.
 * - `onStart` is given no parent context, since there is no current one, and there is no `onEnding`.
 * - It has no `forceFlush` and no `shutdown`: only processors that hold spans back have those, and their owner calls them.
 * - It sees every span that is recorded. What is sampled is exported: that is for the processor to look at.
 */
export interface SpanProcessor {
  /** The span has begun. What it will still record is seen by reading it later. */
  onStart(span: ReadableSpan): void;
  /** The span has ended and will not change any more. */
  onEnd(span: ReadableSpan): void;
}
