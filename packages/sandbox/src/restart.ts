/** When a dead entrypoint is started again. */
export interface RestartPolicy {
  /** How many restarts in a row are tried. */
  readonly limit: number;
  /** The wait before the first restart, doubled with each further one. */
  readonly delayMs: number;
  readonly maxDelayMs: number;
  /** One that has lived this long begins a new row. */
  readonly stableMs: number;
}

export const RESTART: RestartPolicy = { limit: 5, delayMs: 500, maxDelayMs: 10_000, stableMs: 60_000 };
