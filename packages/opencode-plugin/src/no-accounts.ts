/**
 * Hides accounts and stored credentials from OpenCode (1.18.33). It asks an account's server for configuration, which may replace the
 * address that a key is sent to, and starts the programs that it names. They are in a database that the agent's commands can write.
 */

/** The part of Bun's SQLite that is used: https://bun.com/docs/runtime/sqlite */
interface Sqlite {
  readonly Database: { readonly prototype: { prepare: Prepare; query: Prepare } };
}
type Prepare = (this: unknown, sql: string, ...rest: unknown[]) => unknown;

/** Not a literal, since only Bun has the module. */
const SQLITE: string = "bun:sqlite";
const TABLES = "account|account_state|control_account|credential";
const READS = new RegExp(`\\b(from|join) (["\`]?)(${TABLES})\\2(?![\\w"\`])`, "gi");

/** Makes every statement that reads these tables find them empty, whatever is in them. */
export async function withoutAccounts(): Promise<void> {
  const { Database } = (await import(SQLITE)) as Sqlite;
  const { prepare, query } = Database.prototype;
  Database.prototype.prepare = function (sql, ...rest) {
    return prepare.call(this, withEmptyTables(sql), ...rest);
  };
  Database.prototype.query = function (sql, ...rest) {
    return query.call(this, withEmptyTables(sql), ...rest);
  };
}

/** Exported for its test. */
export function withEmptyTables(sql: string): string {
  // A statement that changes a row leaves the tables as they are.
  if (!/^\s*(?:select|with)\b/i.test(sql)) return sql;
  return sql.replace(
    READS,
    (_whole, keyword, _quote, table) => `${keyword} (select * from "${table}" where 0) "${table}"`,
  );
}
