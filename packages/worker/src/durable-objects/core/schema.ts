/**
 * The version of an object's SQLite database. An object that starts with an older database runs the missing migrations in one
 * transaction.
 */
import { inTransaction, type TransactionalStorage } from "./transactions.ts";

/**
 * Migrates a database from one version to the next. The first migration must also handle databases from before versions were
 * stored, in any form; each later one starts from the exact result of those before it.
 */
export type Migration = (sql: SqlStorage) => void;

/** A newer version of Valet wrote the object's database, which is neither read nor changed. */
export class NewerSchemaError extends Error {
  override readonly name = "NewerSchemaError";

  constructor(found: number, known: number) {
    super(
      `A newer version of Valet wrote this object's database (schema ${found}; this version reads up to ${known}). ` +
        "Deploy that version again.",
    );
  }
}

/**
 * Migrates an object's database to the newest version, which is the number of `migrations`.
 * @throws NewerSchemaError if the database has a newer version; or the error of a migration, after a rollback of all of them
 */
export function upgradeSchema(storage: TransactionalStorage, migrations: readonly Migration[]): void {
  const { sql } = storage;
  const found = readVersion(sql);
  if (found > migrations.length) throw new NewerSchemaError(found, migrations.length);
  if (found === migrations.length) return;
  inTransaction(storage, () => {
    for (const migrate of migrations.slice(found)) migrate(sql);
    sql.exec(
      "CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)",
    );
    sql.exec("INSERT OR REPLACE INTO schema_version VALUES (1, ?)", migrations.length);
  });
}

/** Returns whether the database has tables: that of an object which never stored anything, or was deleted, has none. */
export function hasTables(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'session'").toArray().length > 0;
}

/** Returns the stored version; 0 if there is none, because the database is new or from before versions were stored. */
function readVersion(sql: SqlStorage): number {
  const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'").toArray();
  if (table === undefined) return 0;
  const [row] = sql.exec("SELECT version FROM schema_version").toArray();
  return (row?.version as number | undefined) ?? 0;
}

/** Adds a column to a table, if the table lacks it. */
export function addColumn(sql: SqlStorage, table: string, column: string, type: string): void {
  const columns = sql.exec("SELECT name FROM pragma_table_info(?)", table).toArray();
  if (!columns.some(({ name }) => name === column)) sql.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
}
