import type { TurnRecord } from "@valet/shared/protocol/session-view";

/** Inserts a turn's row, which a trigger adds to `session_costs`. A turn's record never changes, so an existing row stays. */
export function upsertTurn(db: D1Database, ownerId: string, record: TurnRecord): D1PreparedStatement {
  const columns = { owner_id: ownerId, ...record };
  const values = Object.values(columns).map((value) => (Array.isArray(value) ? JSON.stringify(value) : value));
  const marks = values.map(() => "?").join(", ");
  return db
    .prepare(
      `INSERT INTO turns (${Object.keys(columns).join(", ")}) VALUES (${marks}) ON CONFLICT (attempt_id) DO NOTHING`,
    )
    .bind(...values);
}
