import type { ReadableSpan } from "./readable-span.ts";

/**
 * Receives spans when they start and end, like OpenTelemetry's `SpanProcessor`. Both methods are called synchronously, so that a
 * processor can store a span in the same transaction as the state that it describes. An error of a processor is reported to
 * `onDiagnostic` and never reaches the instrumented code.
 *
 * It differs from the SDK's (Trace SDK, "Span Processor"):
 * - A tracer has one processor and no provider. To use several, pass one that calls them.
 * - `onStart` receives no parent context, since there is no active one, and there is no `onEnding`.
 * - It has no `forceFlush` and no `shutdown`: only processors that buffer spans have those, and their owner calls them.
 * - It receives every recorded span. A processor that exports checks the sampled flag itself.
 */
export interface SpanProcessor {
  /** Called when a span has started. The span object shows later changes. */
  onStart(span: ReadableSpan): void;
  /** Called when a span has ended. It does not change any more. */
  onEnd(span: ReadableSpan): void;
}
