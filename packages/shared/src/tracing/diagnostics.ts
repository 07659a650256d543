/** What the tracer has to say about itself. Nothing is logged: the owner of the process decides where this goes. */
export type Diagnostic =
  /** An environment variable was unusable and has been ignored. */
  | { readonly type: "config_invalid"; readonly variable: string; readonly message: string }
  /** A span lost attributes, events or links to its limits, or to values that OTLP cannot hold. At most one a span. */
  | {
      readonly type: "span_limits";
      readonly span: string;
      readonly droppedAttributes: number;
      readonly droppedEvents: number;
      readonly droppedLinks: number;
    }
  /** Code that was handed in threw: a processor, redactor, sampler, clock or id generator, or `scheduleFlush`. */
  | { readonly type: "callback_error"; readonly error: unknown }
  /** An export attempt failed. `retryInMs` is absent when the batch has been given up. */
  | {
      readonly type: "export_failed";
      readonly reason: string;
      readonly status?: number;
      readonly spans: number;
      readonly retryInMs?: number;
    }
  /** The backend took a batch and had something to say about it: a warning where `rejectedSpans` is 0. */
  | { readonly type: "partial_success"; readonly rejectedSpans: number; readonly message: string }
  /** The backend said 2xx in a way that no OTLP backend does: it may be none. Once for each exporter. */
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

/** A callback that may throw, or be missing, without anyone noticing: there is nobody left to tell. */
export function quiet(onDiagnostic: OnDiagnostic | undefined): OnDiagnostic {
  return (diagnostic) => {
    try {
      onDiagnostic?.(diagnostic);
    } catch {}
  };
}
