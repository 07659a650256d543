/** Prepares the Worker's D1 database on this machine. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { D1Database } from "@cloudflare/workers-types";
import { signInUrl } from "@valet/shared/protocol/page-sessions";
import { hashToken } from "@valet/worker/ids";
import { issuePageTicket } from "@valet/worker/page-tickets";
import { type Migration, makeToken, migrate } from "@valet/worker/setup";

/** The owner of everything in a local system. */
const LOCAL_OWNER = "local";

/** Brings the database's schema up to date. */
export async function prepareDatabase(db: D1Database, migrationsDir: string): Promise<void> {
  const names = readdirSync(migrationsDir).filter((name) => name.endsWith(".sql"));
  const read = (name: string): Migration => ({ name, sql: readFileSync(join(migrationsDir, name), "utf8") });
  await migrate(db, names.sort().map(read));
}

/** What the token that `up` prints is called. */
const NAME = "valet up";

/**
 * Returns a valid token of the local owner: `known` if the database has it, or else a new one, which replaces the one that `up` made
 * before.
 */
export async function ensureToken(db: D1Database, known: string | undefined): Promise<string> {
  const find = db.prepare("SELECT 1 FROM tokens WHERE hash = ? AND owner_id = ? AND expires_at IS NULL");
  if (known !== undefined && (await find.bind(hashToken(known), LOCAL_OWNER).first()) !== null) return known;
  const { token, statement } = makeToken(LOCAL_OWNER, NAME);
  await db.batch([
    db.prepare("DELETE FROM tokens WHERE owner_id = ? AND name = ?").bind(LOCAL_OWNER, NAME),
    db.prepare(statement.sql).bind(...statement.params),
  ]);
  return token;
}

/** Returns a new link that signs a browser in with the rights of a token. */
export async function newSignInUrl(db: D1Database, origin: string, token: string): Promise<string> {
  const { ticket } = await issuePageTicket(db, LOCAL_OWNER, hashToken(token));
  return signInUrl(origin, ticket);
}
