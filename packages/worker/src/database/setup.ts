/** What a fresh database needs before the Worker can serve from it. Runs wherever a D1 database can be reached. */
import { hashToken, newToken } from "../durable-objects/core/ids.ts";

/** As much of a D1 database as is needed here. */
interface Database<S> {
  prepare(sql: string): S & { bind(...values: unknown[]): S; all(): Promise<{ results: unknown[] }> };
  batch(statements: S[]): Promise<unknown>;
}

export interface Migration {
  /** Its file's name, by which it is known to have been applied. */
  readonly name: string;
  readonly sql: string;
}

/** Where `wrangler d1 migrations apply` keeps the same, so that either goes on from the other. */
const APPLIED = `CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`;

/** Applies what has not been applied, in order, each wholly or not at all. */
export async function migrate<S>(db: Database<S>, migrations: readonly Migration[]): Promise<void> {
  await db.batch([db.prepare(APPLIED)]);
  const { results } = await db.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set((results as { name: string }[]).map(({ name }) => name));
  for (const { name, sql } of migrations) {
    if (applied.has(name)) continue;
    const note = db.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name);
    await db.batch([...splitStatements(sql).map((statement) => db.prepare(statement)), note]);
  }
}

/** D1 takes one statement at a time. In a migration every one ends with a semicolon that ends a line. */
function splitStatements(sql: string): string[] {
  const withoutComments = sql.replaceAll(/--.*$/gm, "");
  return withoutComments
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}

export interface NewToken {
  /** Shown once, to whoever asked for it: only its hash is stored. */
  readonly token: string;
  /** Puts it on record: `db.prepare(sql).bind(...params)`. */
  readonly statement: { readonly sql: string; readonly params: readonly string[] };
}

/**
 * Makes a bearer token of an owner.
 * @param name what people call the token
 */
export function makeToken(ownerId: string, name: string, now: Date = new Date()): NewToken {
  const token = newToken();
  return {
    token,
    statement: {
      sql: "INSERT INTO tokens (hash, owner_id, name, created_at) VALUES (?, ?, ?, ?)",
      params: [hashToken(token), ownerId, name, now.toISOString()],
    },
  };
}
