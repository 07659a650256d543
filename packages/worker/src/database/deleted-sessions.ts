/** What is left of deleted sessions: that they existed, whose they were, and when, why and by whom they were deleted. */
import type { DeleteReason } from "@valet/shared/spans";

export interface DeletedSession {
  readonly id: string;
  readonly ownerId: string;
  /** ISO 8601. */
  readonly deletedAt: string;
  readonly reason: DeleteReason;
  /** The user who asked for it; `null` if the retention period has passed. */
  readonly deletedBy: string | null;
  /** How many sampled spans the backend has not taken. They are lost. */
  readonly spansNotExported: number;
  /** How many calls to the broker and to other objects were still not acknowledged. */
  readonly unfinishedCalls: number;
}

/**
 * Replaces the rows of a session by its tombstone, in one batch. Idempotent: the first tombstone stays. The rows of its turns stay.
 */
export function deleteSession(db: D1Database, deleted: DeletedSession): D1PreparedStatement[] {
  const { id, ownerId, deletedAt, reason, deletedBy, spansNotExported, unfinishedCalls } = deleted;
  return [
    db
      .prepare("INSERT INTO deleted_sessions VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")
      .bind(id, ownerId, deletedAt, reason, deletedBy, spansNotExported, unfinishedCalls),
    db.prepare("DELETE FROM sessions WHERE id = ?").bind(id),
    db.prepare("DELETE FROM session_costs WHERE session_id = ?").bind(id),
    db.prepare("DELETE FROM socket_tickets WHERE session_id = ?").bind(id),
    // Those of versions before 0020.
    db.prepare("DELETE FROM tickets WHERE session_id = ?").bind(id),
  ];
}

/** Returns when a session was deleted, ISO 8601; `undefined` if it was not. */
export async function whenDeleted(db: D1Database, id: string): Promise<string | undefined> {
  const query = db.prepare("SELECT deleted_at FROM deleted_sessions WHERE id = ?").bind(id);
  return (await query.first<{ deleted_at: string }>())?.deleted_at;
}

/** Who owns a session, or owned it before it was deleted. */
export interface KnownSession {
  readonly id: string;
  readonly ownerId: string;
  /** When it was deleted, ISO 8601; absent if it was not. */
  readonly deletedAt?: string;
}

/** Selects a session by its id, deleted or not. While it is being deleted there is either row, never both. */
export function selectKnown(db: D1Database, id: string): D1PreparedStatement {
  return db
    .prepare(
      `SELECT id, owner_id, NULL AS deleted_at FROM sessions WHERE id = ?1
       UNION ALL SELECT id, owner_id, deleted_at FROM deleted_sessions WHERE id = ?1`,
    )
    .bind(id);
}

interface KnownRow {
  readonly id: string;
  readonly owner_id: string;
  readonly deleted_at: string | null;
}

/** @param row what {@link selectKnown} found */
export function toKnown(row: unknown): KnownSession | undefined {
  if (row === undefined || row === null) return undefined;
  const { id, owner_id: ownerId, deleted_at: deletedAt } = row as KnownRow;
  return { id, ownerId, ...(deletedAt !== null && { deletedAt }) };
}

export async function findSession(db: D1Database, id: string): Promise<KnownSession | undefined> {
  return toKnown(await selectKnown(db, id).first());
}
