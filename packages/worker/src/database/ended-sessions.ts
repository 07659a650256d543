/** Terminated sessions whose deletion has not begun, for the sweep of the upkeep: it goes around them, a page at a time. */

export interface EndedSession {
  readonly id: string;
  /** When it last changed, which is its end or later; ISO 8601. */
  readonly updatedAt: string;
}

/**
 * Returns the next sessions that have not changed since a time, those that changed longest ago first, and goes on behind them the next
 * time; after the last one from the beginning.
 * @param until ISO 8601
 */
export async function nextEnded(db: D1Database, until: string, limit: number): Promise<readonly EndedSession[]> {
  const from = await db
    .prepare("SELECT updated_at AS updatedAt, id FROM retention_sweep WHERE one = 1")
    .first<EndedSession & Record<string, unknown>>();
  const { results } = await db
    .prepare(
      `SELECT id, updated_at AS updatedAt FROM sessions
       WHERE status = 'terminated' AND json_extract(view, '$.deletion') IS NULL AND updated_at <= ? AND (updated_at, id) > (?, ?)
       ORDER BY updated_at, id LIMIT ?`,
    )
    .bind(until, from?.updatedAt ?? "", from?.id ?? "", limit)
    .all<EndedSession & Record<string, unknown>>();
  const { updatedAt = "", id = "" } = results.length < limit ? {} : (results.at(-1) ?? {});
  await db
    .prepare("UPDATE retention_sweep SET updated_at = ?1, id = ?2 WHERE one = 1 AND (updated_at, id) <> (?1, ?2)")
    .bind(updatedAt, id)
    .run();
  return results;
}
