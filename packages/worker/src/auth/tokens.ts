/** Bearer tokens of the API. What is stored is a hash, so the database cannot give one away. */
import { hashToken, isTokenOf } from "../durable-objects/core/ids.ts";

/** The token of an `authorization` header (RFC 6750, section 2.1); the scheme's case does not matter. */
export function bearerToken(header: string | null | undefined): string | undefined {
  return /^bearer +([\w.~+/=-]{1,200}) *$/i.exec(header ?? "")?.[1];
}

/** Whose token it is; `undefined` for one that was never given out, or was taken back. */
export async function ownerOfToken(db: D1Database, token: string): Promise<string | undefined> {
  const query = db.prepare("SELECT hash, owner_id FROM tokens WHERE hash = ?").bind(hashToken(token));
  const row = await query.first<{ hash: string; owner_id: string }>();
  return row !== null && isTokenOf(token, row.hash) ? row.owner_id : undefined;
}
