/** Records when the session's sandboxes were requested, created, and ready or given up: the parts of a job's wait for one. */

/** Times in epoch ms. */
export interface StartTime {
  readonly begunMs: number;
  readonly madeMs: number | null;
  readonly endedMs: number | null;
}

/** How many starts are kept: the longest row of starts through which a job can wait. */
const STARTS_KEPT = 32;

export class StartTimes {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** Records that the object has asked the broker for a sandbox. */
  began(generation: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO sandbox_starts VALUES (?, ?, NULL, NULL)", generation, this.#now());
    this.#sql.exec("DELETE FROM sandbox_starts WHERE generation <= ?", generation - STARTS_KEPT);
  }

  /** Records that the broker has created the sandbox. */
  made(generation: number): void {
    this.#sql.exec("UPDATE sandbox_starts SET made_ms = ? WHERE generation = ?", this.#now(), generation);
  }

  /** Records that the runner is ready, or the start has failed. */
  ended(generation: number): void {
    this.#sql.exec("UPDATE sandbox_starts SET ended_ms = ? WHERE generation = ?", this.#now(), generation);
  }

  /** Returns how much of a period, given in epoch ms, the starts took. */
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

/** Returns how much of a wait passed while the broker created a sandbox, and while a runner started in it, in ms. */
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
