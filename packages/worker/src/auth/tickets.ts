/** One-time tickets, since a browser cannot send a header with a WebSocket, and a token in a URL ends up in logs. */
import { hashToken, newToken } from "../durable-objects/core/ids.ts";

const LIFETIME_MS = 30_000;

/** Creates a ticket for one session, and deletes expired tickets. */
export async function issueTicket(
  db: D1Database,
  sessionId: string,
  ownerId: string,
  nowMs = Date.now(),
): Promise<{ ticket: string; expiresAt: string }> {
  const ticket = newToken();
  const expiresAt = new Date(nowMs + LIFETIME_MS).toISOString();
  await db.batch([
    db.prepare("DELETE FROM tickets WHERE expires_at <= ?").bind(new Date(nowMs).toISOString()),
    db.prepare("INSERT INTO tickets VALUES (?, ?, ?, ?)").bind(hashToken(ticket), sessionId, ownerId, expiresAt),
  ]);
  return { ticket, expiresAt };
}

/**
 * Redeems a ticket, which invalidates it. @returns its owner; `undefined` if it is invalid, expired or for another
 * session
 */
export async function redeemTicket(
  db: D1Database,
  ticket: string,
  sessionId: string,
  nowMs = Date.now(),
): Promise<string | undefined> {
  const row = await db
    .prepare("DELETE FROM tickets WHERE hash = ? RETURNING session_id, owner_id, expires_at")
    .bind(hashToken(ticket))
    .first<{ session_id: string; owner_id: string; expires_at: string }>();
  if (row === null || row.session_id !== sessionId || row.expires_at <= new Date(nowMs).toISOString()) return undefined;
  return row.owner_id;
}
