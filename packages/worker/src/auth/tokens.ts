/** Bearer tokens of the API. Only a hash is stored, so the database does not reveal tokens. */
import { type KnownSession, selectKnown, toKnown } from "../database/deleted-sessions.ts";
import { hashToken, isTokenOf } from "../durable-objects/core/ids.ts";
import { selectByPageSession } from "./page-sessions.ts";

/** Returns the token of an `authorization` header (RFC 6750, section 2.1); the scheme is case-insensitive. */
export function bearerToken(header: string | null | undefined): string | undefined {
  return /^bearer +([\w.~+/=-]{1,200}) *$/i.exec(header ?? "")?.[1];
}

/** What is stored of a token. Times are ISO 8601 UTC; `null`: never. */
export interface KnownToken {
  readonly hash: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
}

/** What a request may do, as far as its token and its path say. */
export interface Access {
  /** The token's owner; `undefined` for an unknown or revoked token. */
  readonly ownerId: string | undefined;
  /** The token's row; `undefined` for an unknown or revoked token. */
  readonly token: KnownToken | undefined;
  /** Whether the token's requests may name the user on whose behalf they are made. */
  readonly speaksForOthers: boolean;
  /** The session that the path names, and its owner; `undefined` if the path names none, or there never was such a session. */
  readonly session: KnownSession | undefined;
}

/** What a request authenticates itself with. */
export interface Credential {
  readonly kind: "token" | "page-session";
  readonly secret: string;
}

/** Reads what a credential and the session of a path say, in one round trip. A page session has the rights of its token. */
export async function readAccess(
  db: D1Database,
  credential: Credential,
  sessionId: string | undefined,
): Promise<Access> {
  const { kind, secret } = credential;
  const ofToken =
    kind === "page-session"
      ? selectByPageSession(db, secret, Date.now())
      : db
          .prepare("SELECT hash, owner_id, speaks_for_others, expires_at, last_used_at FROM tokens WHERE hash = ?")
          .bind(hashToken(secret));
  if (sessionId === undefined) return { ...accessOf(credential, await ofToken.first<TokenRow>()), session: undefined };
  const [tokens, sessions] = await db.batch<unknown>([ofToken, selectKnown(db, sessionId)]);
  return {
    ...accessOf(credential, (tokens?.results[0] as TokenRow | undefined) ?? null),
    session: toKnown(sessions?.results[0]),
  };
}

interface TokenRow {
  readonly hash: string;
  readonly owner_id: string;
  readonly speaks_for_others: number;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
}

function accessOf({ kind, secret }: Credential, row: TokenRow | null): Omit<Access, "session"> {
  if (row === null || (kind === "token" && !isTokenOf(secret, row.hash))) {
    return { ownerId: undefined, token: undefined, speaksForOthers: false };
  }
  const { hash, expires_at: expiresAt, last_used_at: lastUsedAt } = row;
  const known = { hash, expiresAt, lastUsedAt };
  return { ownerId: row.owner_id, token: known, speaksForOthers: row.speaks_for_others === 1 };
}
