import type { Migration } from "../core/schema.ts";

/** The schema migrations of a capacity object. A change is a new migration at the end of the list. */
export const CAPACITY_MIGRATIONS: readonly Migration[] = [
  // Databases from before schema versions already have the table.
  (sql) =>
    sql.exec("CREATE TABLE IF NOT EXISTS entries (session_id TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID"),
];
