/** The configuration of the trace plane of `trace-plane-worker.ts`. */
export interface TracePlaneConfig {
  readonly sessionId: string;
  /** Nothing is exported without it. */
  readonly exportUrl?: string;
  readonly exportTimeoutMs: number;
  readonly segmentDelayMs: number;
  /** Whether frames in quick succession are stored together, as the SessionAgent does; default true. */
  readonly gather?: boolean;
  /** A GET of `<url>/<name>` at each named point blocks until the test lets it continue. */
  readonly breakpointUrl?: string;
}
