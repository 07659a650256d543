import type { TurnRecord } from "@valet/shared/protocol/session-view";

/**
 * Inserts a turn's row, which a trigger adds to `session_costs`. Of an existing row only what the turn changed is replaced: that is
 * reported after its end.
 */
export function upsertTurn(db: D1Database, ownerId: string, record: TurnRecord): D1PreparedStatement {
  const columns = { owner_id: ownerId, ...record };
  const values = Object.values(columns).map((value) => (Array.isArray(value) ? JSON.stringify(value) : value));
  const marks = values.map(() => "?").join(", ");
  return db
    .prepare(
      `INSERT INTO turns (${Object.keys(columns).join(", ")}) VALUES (${marks})
       ON CONFLICT (attempt_id) DO UPDATE SET commits = excluded.commits, files_changed = excluded.files_changed,
         lines_added = excluded.lines_added, lines_removed = excluded.lines_removed, head_branch = excluded.head_branch,
         head_revision = excluded.head_revision, changes_unknown = excluded.changes_unknown
       WHERE turns.files_changed IS NULL
         AND (excluded.files_changed IS NOT NULL OR excluded.changes_unknown IS NOT NULL)`,
    )
    .bind(...values);
}
