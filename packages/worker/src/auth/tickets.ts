/** One-time tickets, since a browser cannot send a header with a WebSocket, and a token in a URL ends up in logs. */
import { hashToken, newToken } from "../durable-objects/core/ids.ts";

const LIFETIME_MS = 30_000;

/** Creates a ticket for one session, and deletes expired tickets. @param tokenHash of the token that asks for it */
export async function issueTicket(
  db: D1Database,
  sessionId: string,
  tokenHash: string,
  nowMs = Date.now(),
): Promise<{ ticket: string; expiresAt: string }> {
  const ticket = newToken();
  const expiresAt = new Date(nowMs + LIFETIME_MS).toISOString();
  await db.batch([
    db.prepare("DELETE FROM socket_tickets WHERE expires_at <= ?").bind(new Date(nowMs).toISOString()),
    db
      .prepare("INSERT INTO socket_tickets VALUES (?, ?, ?, ?)")
      .bind(hashToken(ticket), sessionId, tokenHash, expiresAt),
  ]);
  return { ticket, expiresAt };
}

/**
 * Redeems a ticket, which invalidates it, in one transaction: of two requests with one ticket only one succeeds.
 * @returns its owner; `undefined` if it is unknown, used, expired or for another session, or its token was revoked or has expired
 */
export async function redeemTicket(
  db: D1Database,
  ticket: string,
  sessionId: string,
  nowMs = Date.now(),
): Promise<string | undefined> {
  const hash = hashToken(ticket);
  const [found] = await db.batch<{ owner_id: string }>([
    db
      .prepare(
        `SELECT tokens.owner_id FROM socket_tickets CROSS JOIN tokens ON tokens.hash = socket_tickets.token_hash
         WHERE socket_tickets.hash = ?1 AND session_id = ?2 AND socket_tickets.expires_at > ?3 AND COALESCE(tokens.expires_at > ?3, TRUE)`,
      )
      .bind(hash, sessionId, new Date(nowMs).toISOString()),
    db.prepare("DELETE FROM socket_tickets WHERE hash = ?").bind(hash),
  ]);
  return found?.results[0]?.owner_id;
}
