/** One-time tickets for links that sign a browser in to the page. Works with every D1 client. */
import { MAX_PAGE_TICKETS, PAGE_TICKET_LIFETIME_MS, type PageTicket } from "@valet/shared/protocol/page-sessions";
import { hashToken, newToken } from "../durable-objects/core/ids.ts";

/** The part of a D1 client that is used here. */
interface Database<S> {
  prepare(sql: string): { bind(...values: unknown[]): S };
  batch(statements: S[]): Promise<unknown>;
}

/**
 * Issues a ticket for the owner of a token. Removes what has expired, and the oldest tickets and page sessions beyond the limits.
 * @param tokenHash of the token
 */
export async function issuePageTicket<S>(
  db: Database<S>,
  ownerId: string,
  tokenHash: string,
  nowMs = Date.now(),
): Promise<PageTicket> {
  const ticket = newToken();
  const expiresAt = new Date(nowMs + PAGE_TICKET_LIFETIME_MS).toISOString();
  const now = new Date(nowMs).toISOString();
  await db.batch([
    db.prepare("DELETE FROM page_tickets WHERE owner_id = ? AND expires_at <= ?").bind(ownerId, now),
    db
      .prepare(
        `DELETE FROM page_tickets WHERE hash IN
           (SELECT hash FROM page_tickets WHERE owner_id = ? ORDER BY expires_at DESC LIMIT -1 OFFSET ?)`,
      )
      .bind(ownerId, MAX_PAGE_TICKETS - 1),
    db.prepare("DELETE FROM page_sessions WHERE owner_id = ? AND expires_at <= ?").bind(ownerId, now),
    db
      .prepare("INSERT INTO page_tickets (hash, owner_id, token_hash, expires_at) VALUES (?, ?, ?, ?)")
      .bind(hashToken(ticket), ownerId, tokenHash, expiresAt),
  ]);
  return { ticket, expiresAt };
}
