/** When the session's sandboxes were asked for, were made, and were ready or given up: what a job's wait for one consisted of. */

/** Times in epoch ms. */
export interface StartTime {
  readonly begunMs: number;
  readonly madeMs: number | null;
  readonly endedMs: number | null;
}

/** A job can have waited through this many starts and still know each of them. */
const STARTS_KEPT = 32;

export class StartTimes {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  began(generation: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO sandbox_starts VALUES (?, ?, NULL, NULL)", generation, this.#now());
    this.#sql.exec("DELETE FROM sandbox_starts WHERE generation <= ?", generation - STARTS_KEPT);
  }

  /** The broker has made the sandbox. */
  made(generation: number): void {
    this.#sql.exec("UPDATE sandbox_starts SET made_ms = ? WHERE generation = ?", this.#now(), generation);
  }

  /** The runner is ready, or the start has failed. */
  ended(generation: number): void {
    this.#sql.exec("UPDATE sandbox_starts SET ended_ms = ? WHERE generation = ?", this.#now(), generation);
  }

  /** Returns how much of a time, given in epoch ms, the starts took. */
  within(fromMs: number, toMs: number): ReturnType<typeof waitParts> {
    const rows = this.#sql.exec("SELECT begun_ms, made_ms, ended_ms FROM sandbox_starts").toArray();
    const starts = rows.map((row) => ({
      begunMs: row.begun_ms as number,
      madeMs: row.made_ms as number | null,
      endedMs: row.ended_ms as number | null,
    }));
    return waitParts({ fromMs, toMs }, starts);
  }
}

/** How much of a wait went by while the broker made a sandbox, and while a runner started in it. */
export function waitParts(
  wait: { readonly fromMs: number; readonly toMs: number },
  starts: readonly StartTime[],
): { readonly sandbox_ms: number; readonly bootstrap_ms: number } {
  let [sandbox_ms, bootstrap_ms] = [0, 0];
  const overlap = (fromMs: number, toMs: number) =>
    Math.max(0, Math.min(toMs, wait.toMs) - Math.max(fromMs, wait.fromMs));
  for (const { begunMs, madeMs, endedMs } of starts) {
    const endMs = endedMs ?? wait.toMs;
    sandbox_ms += overlap(begunMs, madeMs ?? endMs);
    if (madeMs !== null) bootstrap_ms += overlap(madeMs, endMs);
  }
  return { sandbox_ms, bootstrap_ms };
}
