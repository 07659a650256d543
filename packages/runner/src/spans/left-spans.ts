/** A span, its scope and its resource, each as OTLP/JSON text. */
export interface LoggedSpan {
  readonly scope: string;
  readonly span: string;
  /** Of a span of another program; absent for the runner's own resource. */
  readonly resource?: string | null;
}

/** The spans that the runner sends over the link as one frame. */
export interface LoggedFrame {
  readonly seq: number;
  readonly spans: readonly LoggedSpan[];
}

/** The spans of a dead runner instance that the SessionAgent has not acknowledged. */
export interface LeftSpans {
  readonly resource: string;
  readonly frames: readonly LoggedFrame[];
  /** Spans that the session knows and that had not ended, as `serialiseSpan` writes them. */
  readonly open: readonly string[];
  /** The number of spans lost because they cannot be read. */
  readonly brokenSpans: number;
}
