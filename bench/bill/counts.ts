/** What Cloudflare bills for, as counted since the Worker started. */
export interface Counts {
  /** Requests that reach the Worker. */
  workerRequests: number;
  /** Calls of Durable Objects and their alarms. */
  objectRequests: number;
  /** WebSocket messages that objects receive; twenty are billed as one request. */
  socketMessages: number;
  /**
   * Milliseconds in which objects were busy, or could not hibernate because a call of theirs was pending. Their timers, such as the
   * 50 ms in which a session gathers span frames, are not in it.
   */
  activeMs: number;
  /** Rows of the objects' SQLite. Setting an alarm writes one. */
  rowsRead: number;
  rowsWritten: number;
  d1RowsRead: number;
  d1RowsWritten: number;
  /** Requests that the Worker and its objects make; not billed, but limited. */
  subrequests: number;
}

export const NO_COUNTS: Counts = {
  workerRequests: 0,
  objectRequests: 0,
  socketMessages: 0,
  activeMs: 0,
  rowsRead: 0,
  rowsWritten: 0,
  d1RowsRead: 0,
  d1RowsWritten: 0,
  subrequests: 0,
};

/** The answer of the counting Worker. */
export interface Counted {
  readonly counts: Counts;
  /** The size of each SessionAgent's database when it was last active, in bytes, by its name: the session's id. */
  readonly databaseBytes: Readonly<Record<string, number>>;
  /** The size of D1 after its last write, in bytes. */
  readonly d1Bytes: number;
}

/** Where the counting Worker answers with {@link Counted}. Requests to it are not counted. */
export const COUNTS_PATH = "/bench-counts";

/** Returns what was counted between two readings, divided by `by`. */
export function between(before: Counts, after: Counts, by = 1): Counts {
  const keys = Object.keys(NO_COUNTS) as (keyof Counts)[];
  return Object.fromEntries(keys.map((key) => [key, (after[key] - before[key]) / by])) as unknown as Counts;
}
