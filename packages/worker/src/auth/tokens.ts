/** Bearer tokens of the API. Only a hash is stored, so the database does not reveal tokens. */
import { hashToken, isTokenOf } from "../durable-objects/core/ids.ts";

/** Returns the token of an `authorization` header (RFC 6750, section 2.1); the scheme is case-insensitive. */
export function bearerToken(header: string | null | undefined): string | undefined {
  return /^bearer +([\w.~+/=-]{1,200}) *$/i.exec(header ?? "")?.[1];
}

/** Returns the owner of a token; `undefined` for an unknown or revoked token. */
export async function ownerOfToken(db: D1Database, token: string): Promise<string | undefined> {
  const query = db.prepare("SELECT hash, owner_id FROM tokens WHERE hash = ?").bind(hashToken(token));
  const row = await query.first<{ hash: string; owner_id: string }>();
  return row !== null && isTokenOf(token, row.hash) ? row.owner_id : undefined;
}
