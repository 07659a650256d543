/** What the trace plane of `trace-plane-worker.ts` is started with. */
export interface TracePlaneConfig {
  readonly sessionId: string;
  /** Without one nothing is exported. */
  readonly exportUrl?: string;
  readonly exportTimeoutMs: number;
  readonly segmentDelayMs: number;
  /** Whether frames that come in quick succession are stored as one, as the SessionAgent does; they are unless this is false. */
  readonly gather?: boolean;
  /** Is asked, by a GET of `<url>/<name>`, whether to go on at each named point. */
  readonly breakpointUrl?: string;
}
