/** Prepares a fresh database for the Worker. */
import { hashToken, newToken } from "../durable-objects/core/ids.ts";

/** The part of a D1 database that is used here. */
interface Database {
  prepare(sql: string): { all(): Promise<{ results: unknown[] }> };
  exec(lines: string): Promise<unknown>;
}

export interface Migration {
  /** The file's name, which identifies an applied migration. */
  readonly name: string;
  readonly sql: string;
}

/** The same table as that of `wrangler d1 migrations apply`, so that each continues the other's work. */
const APPLIED =
  "CREATE TABLE IF NOT EXISTS d1_migrations (" +
  "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)";

/**
 * Applies the pending migrations of a local database in order, all in one transaction. They are one request: from outside workerd, each
 * statement of a batch would be one of its own, and `valet up` would wait half a second for them.
 */
export async function migrate(db: Database, migrations: readonly Migration[]): Promise<void> {
  await db.exec(APPLIED);
  const { results } = await db.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set((results as { name: string }[]).map(({ name }) => name));
  const pending = migrations.filter(({ name }) => !applied.has(name));
  const script = pending.flatMap(({ name, sql }) => [
    ...statementsOf(sql),
    `INSERT INTO d1_migrations (name) VALUES ('${name}')`,
  ]);
  if (script.length > 0) await db.exec(script.join("\n"));
}

/**
 * Returns each statement as one line, as `exec` takes them. In migrations every statement ends with a semicolon at the end of a line, and
 * no string contains a line break or `--`.
 */
function statementsOf(sql: string): string[] {
  const withoutComments = sql.replaceAll(/--.*$/gm, "");
  return withoutComments
    .split(/;\s*$/m)
    .map((statement) => statement.trim().replaceAll(/\s*\n\s*/g, " "))
    .filter((statement) => statement !== "");
}

export interface NewToken {
  /** Shown once, to the caller; only its hash is stored. */
  readonly token: string;
  /** The statement that stores the hash: `db.prepare(sql).bind(...params)`. */
  readonly statement: { readonly sql: string; readonly params: readonly (string | null)[] };
}

export interface TokenOptions {
  /** Whether requests with the token may name the user on whose behalf they are made. */
  readonly speaksForOthers?: boolean;
  /** When it stops being valid, ISO 8601 UTC; `null`: never. */
  readonly expiresAt?: string | null;
  /** The id of the token that makes it. */
  readonly createdBy?: string | null;
  readonly now?: Date;
}

/**
 * Creates a bearer token for an owner.
 * @param name a label for people
 */
export function makeToken(
  ownerId: string,
  name: string,
  { speaksForOthers = false, expiresAt = null, createdBy = null, now = new Date() }: TokenOptions = {},
): NewToken {
  const token = newToken();
  return {
    token,
    statement: {
      sql: "INSERT INTO tokens (hash, owner_id, name, created_at, speaks_for_others, expires_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
      params: [hashToken(token), ownerId, name, now.toISOString(), speaksForOthers ? "1" : "0", expiresAt, createdBy],
    },
  };
}
