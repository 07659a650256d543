/** What the trace plane of `trace-plane-worker.ts` is started with. */
export interface TracePlaneConfig {
  readonly sessionId: string;
  /** Without one nothing is exported. */
  readonly exportUrl?: string;
  readonly exportTimeoutMs: number;
  readonly segmentDelayMs: number;
  /** Is asked, by a GET of `<url>/<name>`, whether to go on at each named point. */
  readonly breakpointUrl?: string;
}
