/** The runner processes that have sent spans: their last frame, and their last sign of life. */
/**
 * How many runner processes are remembered, the latest ones: each costs a row, and a holder of a runner's token can
 * name any number of them.
 */
const MAX_INSTANCES = 1000;

interface InstanceRow {
  readonly last_seq: number;
  readonly last_seen_ms: number;
  readonly last_frame_ms: number | null;
}

export class RunnerInstances {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** Records a runner's sign of life. @param atMs its time, epoch ms; now if omitted. An older time changes nothing */
  touch(instanceId: string, atMs = this.#now()): void {
    this.#sql.exec(
      `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms) VALUES (?, 0, ?)
       ON CONFLICT (instance_id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms
       WHERE excluded.last_seen_ms > last_seen_ms`,
      instanceId,
      atMs,
    );
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
   * Records the last frames that were stored, as signs of life. When a runner sends its first, the least recently seen ones beyond
   * the maximum are forgotten.
   */
  record(frames: ReadonlyMap<string, number>): void {
    let isNew = false;
    for (const [instanceId, seq] of frames) {
      isNew ||= this.lastSeq(instanceId) === 0;
      this.#sql.exec(
        `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms, last_frame_ms) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (instance_id) DO UPDATE SET
           last_seq = excluded.last_seq, last_seen_ms = excluded.last_seen_ms, last_frame_ms = excluded.last_frame_ms`,
        instanceId,
        seq,
        this.#now(),
      );
    }
    if (!isNew) return;
    this.#sql.exec(
      `DELETE FROM trace_instances WHERE instance_id IN (
         SELECT instance_id FROM trace_instances ORDER BY last_seen_ms DESC, instance_id LIMIT -1 OFFSET ?)`,
      MAX_INSTANCES,
    );
  }

  #row(instanceId: string): InstanceRow | undefined {
    const query = "SELECT last_seq, last_seen_ms, last_frame_ms FROM trace_instances WHERE instance_id = ?";
    return this.#sql.exec<InstanceRow & Record<string, SqlStorageValue>>(query, instanceId).toArray()[0];
  }
}
