/** A diagnostic of the tracer about itself. The tracer logs nothing: the owner of the process decides where diagnostics go. */
export type Diagnostic =
  /** An environment variable was invalid and has been ignored. */
  | { readonly type: "config_invalid"; readonly variable: string; readonly message: string }
  /**
   * A span dropped attributes, events or links because of its limits, or of values that OTLP cannot represent. At most one a
   * span.
   */
  | {
      readonly type: "span_limits";
      readonly span: string;
      readonly droppedAttributes: number;
      readonly droppedEvents: number;
      readonly droppedLinks: number;
    }
  /** A callback of the owner threw: a processor, redactor, sampler, clock or id generator, or `scheduleFlush`. */
  | { readonly type: "callback_error"; readonly error: unknown }
  /** An export attempt failed. `retryInMs` is absent if the batch was dropped. */
  | {
      readonly type: "export_failed";
      readonly reason: string;
      readonly status?: number;
      readonly spans: number;
      readonly retryInMs?: number;
    }
  /** The backend accepted a batch partially (OTLP, "Partial Success"); if `rejectedSpans` is 0, the message is a warning. */
  | { readonly type: "partial_success"; readonly rejectedSpans: number; readonly message: string }
  /** A 2xx response is unlike any OTLP backend's, so the server may be something else. Once for each exporter. */
  | { readonly type: "unexpected_answer"; readonly message: string }
  /** Spans were lost for good. */
  | { readonly type: "spans_dropped"; readonly reason: DropReason; readonly spans: number };

/** Why spans were lost before they reached the backend. */
export type DropReason =
  | "queue_full"
  | "rejected"
  | "invalid"
  | "late"
  | "retries_exhausted"
  | "not_retryable"
  | "too_large"
  | "shutdown";

export type OnDiagnostic = (diagnostic: Diagnostic) => void;

/** Returns a callback that never throws: errors of `onDiagnostic` are ignored, since there is nobody to report them to. */
export function quiet(onDiagnostic: OnDiagnostic | undefined): OnDiagnostic {
  return (diagnostic) => {
    try {
      onDiagnostic?.(diagnostic);
    } catch {}
  };
}
