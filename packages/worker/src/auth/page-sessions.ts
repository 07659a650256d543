/**
 * Browsers that are signed in to the page. A ticket (page-tickets.ts) is exchanged for the secret of a page session, which the browser
 * keeps as a cookie. Only hashes are stored. Both refer to the token: they are worth nothing once it is revoked or has expired.
 */
import { MAX_PAGE_SESSIONS, PAGE_SESSION_LIFETIME_MS } from "@valet/shared/protocol/page-sessions";
import { hashToken, newToken } from "../durable-objects/core/ids.ts";

export interface OpenedPageSession {
  /** The cookie's value. */
  readonly secret: string;
  /** ISO 8601 UTC. */
  readonly expiresAt: string;
}

/**
 * Exchanges a ticket for a page session, in one transaction: of two requests with one ticket only one gets a session.
 * @returns `undefined` if the ticket is unknown, used or expired, or its token was revoked or has expired
 */
export async function openPageSession(
  db: D1Database,
  ticket: string,
  nowMs = Date.now(),
): Promise<OpenedPageSession | undefined> {
  const secret = newToken();
  const ticketHash = hashToken(ticket);
  const now = new Date(nowMs).toISOString();
  const latest = new Date(nowMs + PAGE_SESSION_LIFETIME_MS).toISOString();
  const [opened] = await db.batch<{ expires_at: string }>([
    db
      .prepare(
        `INSERT INTO page_sessions (hash, owner_id, token_hash, expires_at)
         SELECT ?1, tokens.owner_id, tokens.hash, MIN(?2, COALESCE(tokens.expires_at, ?2))
         FROM page_tickets CROSS JOIN tokens ON tokens.hash = page_tickets.token_hash
         WHERE page_tickets.hash = ?3 AND page_tickets.expires_at > ?4 AND COALESCE(tokens.expires_at > ?4, TRUE)
         RETURNING expires_at`,
      )
      .bind(hashToken(secret), latest, ticketHash, now),
    db
      .prepare(
        `DELETE FROM page_sessions WHERE hash IN
           (SELECT hash FROM page_sessions WHERE owner_id = (SELECT owner_id FROM page_tickets WHERE hash = ?) AND hash <> ?
            ORDER BY expires_at DESC LIMIT -1 OFFSET ?)`,
      )
      .bind(ticketHash, hashToken(secret), MAX_PAGE_SESSIONS - 1),
    db.prepare("DELETE FROM page_tickets WHERE hash = ?").bind(ticketHash),
  ]);
  const row = opened?.results[0];
  return row === undefined ? undefined : { secret, expiresAt: row.expires_at };
}

/** Ends a page session. Idempotent. */
export async function closePageSession(db: D1Database, secret: string): Promise<void> {
  await db.prepare("DELETE FROM page_sessions WHERE hash = ?").bind(hashToken(secret)).run();
}

/** Selects the token behind a page session that has not expired. */
export function selectByPageSession(db: D1Database, secret: string, nowMs: number): D1PreparedStatement {
  return db
    .prepare(
      `SELECT tokens.hash, tokens.owner_id, speaks_for_others, tokens.expires_at, last_used_at
       FROM page_sessions CROSS JOIN tokens ON tokens.hash = page_sessions.token_hash
       WHERE page_sessions.hash = ? AND page_sessions.expires_at > ?`,
    )
    .bind(hashToken(secret), new Date(nowMs).toISOString());
}
