/** The runner processes that have sent spans: their last frame, and their last sign of life. */

/**
 * How many runner processes are remembered, those that were first seen last: each costs a row, and a holder of a runner's token can
 * name any number of them.
 */
const MAX_INSTANCES = 1000;

/** What is inserted for a runner that has a row, which keeps its own number. It is the oldest if that row was rolled back. */
const NO_SEQ = 0;

interface InstanceRow {
  /** The order in which runners were first seen. */
  readonly seq: number;
  readonly last_seq: number;
  readonly last_seen_ms: number;
  readonly last_frame_ms: number | null;
}

export class RunnerInstances {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  /** The runner that was seen last. It has a row, so its number is not looked for again. */
  #latest: string | undefined;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** Records a runner's sign of life. @param atMs its time, epoch ms; now if omitted. An older time changes nothing */
  touch(instanceId: string, atMs = this.#now()): void {
    this.#sql.exec(
      `INSERT INTO trace_instances (instance_id, seq, last_seq, last_seen_ms) VALUES (?, ?, 0, ?)
       ON CONFLICT (instance_id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms
       WHERE excluded.last_seen_ms > last_seen_ms`,
      instanceId,
      instanceId === this.#latest ? NO_SEQ : this.#nextSeq(),
      atMs,
    );
    this.#latest = instanceId;
  }

  /** Returns the last stored sign of life of a runner, epoch ms; `undefined` when there is none. */
  lastSeenMs(instanceId: string): number | undefined {
    return this.#row(instanceId)?.last_seen_ms;
  }

  /** Returns when the last frame of a runner was stored, epoch ms; `undefined` before the first. */
  lastFrameMs(instanceId: string): number | undefined {
    return this.#row(instanceId)?.last_frame_ms ?? undefined;
  }

  /** Returns the number of the last frame that was stored; 0 before the first. */
  lastSeq(instanceId: string): number {
    return this.#row(instanceId)?.last_seq ?? 0;
  }

  /**
   * Records the last frames that were stored, as signs of life. When a runner sends its first, those beyond the maximum are forgotten
   * that were seen before all others.
   */
  record(frames: ReadonlyMap<string, number>): void {
    let newest = 0;
    for (const [instanceId, lastSeq] of frames) {
      const known = this.#row(instanceId);
      const seq = known?.seq ?? this.#nextSeq();
      if ((known?.last_seq ?? 0) === 0) newest = seq;
      this.#sql.exec(
        `INSERT INTO trace_instances VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (instance_id) DO UPDATE SET
           last_seq = excluded.last_seq, last_seen_ms = excluded.last_seen_ms, last_frame_ms = excluded.last_frame_ms`,
        instanceId,
        known === undefined ? seq : NO_SEQ,
        lastSeq,
        this.#now(),
      );
    }
    if (newest > MAX_INSTANCES) this.#sql.exec("DELETE FROM trace_instances WHERE seq <= ?", newest - MAX_INSTANCES);
  }

  #nextSeq(): number {
    return this.#sql.exec<{ seq: number }>("SELECT IFNULL(MAX(seq), 0) + 1 AS seq FROM trace_instances").one().seq;
  }

  #row(instanceId: string): InstanceRow | undefined {
    const query = "SELECT seq, last_seq, last_seen_ms, last_frame_ms FROM trace_instances WHERE instance_id = ?";
    return this.#sql.exec<InstanceRow & Record<string, SqlStorageValue>>(query, instanceId).toArray()[0];
  }
}
