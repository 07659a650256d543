/** The API's tokens in D1, as their owner sees them. */
import { MAX_TOKENS, type TokenView } from "@valet/shared/protocol/tokens";
import type { NewToken } from "./setup.ts";

/** An expired token is listed this long, so that people see why it is refused. */
const KEEP_EXPIRED_MS = 24 * 60 * 60_000;
/** How many hexadecimal digits of the hash are the token's id. */
const ID_LENGTH = 16;

/** Returns the id of a token, by its hash. */
export function tokenIdOf(hash: string): string {
  return `tok_${hash.slice(0, ID_LENGTH)}`;
}

interface Row {
  readonly hash: string;
  readonly name: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
  readonly speaks_for_others: number;
  readonly created_by: string | null;
}

/** Lists an owner's tokens, the oldest first. @param currentId the token of the request */
export async function listTokens(
  db: D1Database,
  ownerId: string,
  currentId: string,
  nowMs: number,
): Promise<TokenView[]> {
  const { results } = await db
    .prepare(
      `SELECT hash, name, created_at, expires_at, last_used_at, speaks_for_others, created_by FROM tokens
       WHERE owner_id = ? ORDER BY created_at LIMIT 1000`,
    )
    .bind(ownerId)
    .all<Row>();
  return results.map((row) => viewOf(row, currentId, nowMs));
}

function viewOf(row: Row, currentId: string, nowMs: number): TokenView {
  const id = tokenIdOf(row.hash);
  return {
    id,
    name: row.name,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    isExpired: isExpired(row.expires_at, nowMs),
    lastUsedAt: row.last_used_at,
    speaksForOthers: row.speaks_for_others === 1,
    createdBy: row.created_by,
    isCurrent: id === currentId,
  };
}

/** Returns whether a token's time is over. @param expiresAt ISO 8601 UTC; `null`: never */
export function isExpired(expiresAt: string | null, nowMs: number): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= nowMs;
}

/**
 * Stores a token, and removes the owner's long expired ones.
 * @returns whether it is stored; it is not if the owner has {@link MAX_TOKENS}
 */
export async function addToken(
  db: D1Database,
  ownerId: string,
  { statement }: NewToken,
  nowMs: number,
): Promise<boolean> {
  const before = new Date(nowMs - KEEP_EXPIRED_MS).toISOString();
  // Of several requests at once none exceeds the limit: the count is a condition of the insertion.
  const [, inserted] = await db.batch([
    db.prepare("DELETE FROM tokens WHERE owner_id = ? AND expires_at < ?").bind(ownerId, before),
    db
      .prepare(
        `INSERT INTO tokens (hash, owner_id, name, created_at, speaks_for_others, expires_at, created_by)
         SELECT ?, ?, ?, ?, ?, ?, ? WHERE (SELECT COUNT(*) FROM tokens WHERE owner_id = ?) < ?`,
      )
      .bind(...statement.params, ownerId, MAX_TOKENS),
  ]);
  return inserted?.meta.changes === 1;
}

/** Removes an owner's token, which is refused from then on, and what browsers signed in with it. @returns whether there was one */
export async function removeToken(db: D1Database, ownerId: string, id: string): Promise<boolean> {
  const first = id.slice("tok_".length);
  const range = [first, `${first}g`, ownerId];
  const [removed] = await db.batch([
    db.prepare("DELETE FROM tokens WHERE hash >= ? AND hash < ? AND owner_id = ?").bind(...range),
    db.prepare("DELETE FROM page_tickets WHERE token_hash >= ? AND token_hash < ? AND owner_id = ?").bind(...range),
    db.prepare("DELETE FROM page_sessions WHERE token_hash >= ? AND token_hash < ? AND owner_id = ?").bind(...range),
  ]);
  return (removed?.meta.changes ?? 0) > 0;
}

/** How old the time of the last use may become before it is written again: a request costs no write. */
const USE_PERIOD_MS = 60 * 60_000;

/** Returns whether the time of a token's last use is so old that it is to be written. */
export function isUseStale(lastUsedAt: string | null, nowMs: number): boolean {
  return lastUsedAt === null || nowMs - Date.parse(lastUsedAt) >= USE_PERIOD_MS;
}

export async function recordUse(db: D1Database, hash: string, nowMs: number): Promise<void> {
  await db.prepare("UPDATE tokens SET last_used_at = ? WHERE hash = ?").bind(new Date(nowMs).toISOString(), hash).run();
}
