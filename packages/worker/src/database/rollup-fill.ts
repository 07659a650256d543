/**
 * Adds the turns from before the rollups to them (migration 0011), a bounded number at a time. Each step is one batch, which D1 runs as
 * one transaction, and counts only where the one before ended: of two at the same time one does nothing.
 */

/** How many turns a step adds, at most. */
const STEP = 500;

/** Returns whether turns are still to be added. */
export async function isFilling(db: D1Database): Promise<boolean> {
  return (await db.prepare("SELECT 1 FROM rollup_fill WHERE one = 1").first()) !== null;
}

/** Adds the next turns. @returns whether there may be more */
export async function fillRollups(db: D1Database): Promise<boolean> {
  const fill = await db.prepare("SELECT after FROM rollup_fill WHERE one = 1").first<{ after: string }>();
  if (fill === null) return false;
  const { after } = fill;
  const found = await db
    .prepare(
      `SELECT MAX(attempt_id) AS upTo FROM (SELECT attempt_id FROM turns WHERE attempt_id > ? ORDER BY attempt_id LIMIT ${STEP})`,
    )
    .bind(after)
    .first<{ upTo: string | null }>();
  const upTo = found?.upTo ?? null;
  if (upTo === null) {
    await db.batch([
      // Turns that have arrived since then.
      db.prepare("DELETE FROM rolled_up_meanwhile WHERE attempt_id > ?").bind(after),
      db.prepare("DELETE FROM rollup_fill WHERE one = 1 AND after = ?").bind(after),
    ]);
    return false;
  }
  await db.batch([
    db
      .prepare(
        `INSERT INTO turn_facts SELECT * FROM turn_facts WHERE attempt_id > ?1 AND attempt_id <= ?2
           AND EXISTS (SELECT 1 FROM rollup_fill WHERE one = 1 AND after = ?1)
           AND NOT EXISTS (SELECT 1 FROM rolled_up_meanwhile WHERE attempt_id = turn_facts.attempt_id)`,
      )
      .bind(after, upTo),
    db
      .prepare(
        `DELETE FROM rolled_up_meanwhile WHERE attempt_id > ?1 AND attempt_id <= ?2
           AND EXISTS (SELECT 1 FROM rollup_fill WHERE one = 1 AND after = ?1)`,
      )
      .bind(after, upTo),
    db.prepare("UPDATE rollup_fill SET after = ?2 WHERE one = 1 AND after = ?1").bind(after, upTo),
  ]);
  return true;
}
