/** When a dead entrypoint is restarted. */
export interface RestartPolicy {
  /** The maximum number of restarts in a row. */
  readonly limit: number;
  /** The delay before the first restart; it doubles with each further one. */
  readonly delayMs: number;
  readonly maxDelayMs: number;
  /** An entrypoint that lived this long resets the count. */
  readonly stableMs: number;
}

export const RESTART: RestartPolicy = { limit: 5, delayMs: 500, maxDelayMs: 10_000, stableMs: 60_000 };
