/**
 * The version of an object's SQLite database. An object that wakes with a database of an older version runs the migrations that it
 * lacks, all in one transaction.
 */
import { inTransaction, type TransactionalStorage } from "./transactions.ts";

/**
 * Brings a database from one version to the next. The first migration also meets databases that were written before versions were
 * stored, in any form; each later one meets exactly what those before it leave.
 */
export type Migration = (sql: SqlStorage) => void;

/** The database of an object was written by a newer version of Valet: nothing of it is read or changed. */
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
 * Brings an object's database to the newest version, which is the number of `migrations`.
 * @throws NewerSchemaError if the database has a version beyond that; or what a migration throws: then nothing has changed
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

/** 0 where none is stored: the database is new, or older than versions. */
function readVersion(sql: SqlStorage): number {
  const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'").toArray();
  if (table === undefined) return 0;
  const [row] = sql.exec("SELECT version FROM schema_version").toArray();
  return (row?.version as number | undefined) ?? 0;
}

/** Adds a column to a table that lacks it. */
export function addColumn(sql: SqlStorage, table: string, column: string, type: string): void {
  const columns = sql.exec("SELECT name FROM pragma_table_info(?)", table).toArray();
  if (!columns.some(({ name }) => name === column)) sql.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
}
