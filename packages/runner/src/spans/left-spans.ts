/** A span as OTLP/JSON text, and its scope likewise. */
export interface LoggedSpan {
  readonly scope: string;
  readonly span: string;
}

/** What goes over the link as one frame. */
export interface LoggedFrame {
  readonly seq: number;
  readonly spans: readonly LoggedSpan[];
}

/** What an instance that is gone had not handed over. */
export interface LeftSpans {
  readonly resource: string;
  readonly frames: readonly LoggedFrame[];
  /** Spans that the session was told of and that had not ended, as `serialiseSpan` writes them. */
  readonly open: readonly string[];
  /** How many are lost because they cannot be read. */
  readonly brokenSpans: number;
}
