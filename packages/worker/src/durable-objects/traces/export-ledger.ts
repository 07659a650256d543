/** The row in which a session's export keeps where it stands. */
import { type ExportState, FIRST_STATE } from "./export-rules.ts";

interface ExportRow extends ExportState {
  /** What the endpoint and its headers were, hashed: one of the headers may be a key. */
  readonly config: string;
  /** What the session shows: 0 nothing, 1 that its spans do not arrive, 2 that it has stopped trying. */
  readonly shown: number;
}

/** Beside the columns that the first version had. */
const ADDED = {
  part_of: "INTEGER NOT NULL DEFAULT 0",
  part_spans: "INTEGER NOT NULL DEFAULT 0",
  settled_spans: "INTEGER NOT NULL DEFAULT 0",
  failing_since_ms: "INTEGER",
  trying_since_ms: "INTEGER",
  stopped_at: "INTEGER",
  reason: "TEXT NOT NULL DEFAULT ''",
  status: "INTEGER",
  config: "TEXT NOT NULL DEFAULT ''",
  shown: "INTEGER NOT NULL DEFAULT 0",
} as const;

export class ExportLedger {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS trace_export (
        id INTEGER PRIMARY KEY CHECK (id = 1), segment_id INTEGER NOT NULL, attempts INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL);
      INSERT OR IGNORE INTO trace_export (id, segment_id, attempts, not_before_ms) VALUES (1, 0, 0, 0);
    `);
    const columns = sql.exec<{ name: string }>("SELECT name FROM pragma_table_info('trace_export')").toArray();
    const known = new Set(columns.map(({ name }) => name));
    for (const [name, type] of Object.entries(ADDED)) {
      if (!known.has(name)) sql.exec(`ALTER TABLE trace_export ADD COLUMN ${name} ${type}`);
    }
  }

  read(): ExportRow {
    const columns = [...Object.keys(FIRST_STATE), "config", "shown"].join(", ");
    const row = this.#sql.exec(`SELECT ${columns} FROM trace_export`).one();
    return row as unknown as ExportRow;
  }

  /** Writes what is given, as one row. */
  write(change: Partial<ExportRow>): void {
    const names = Object.keys(change);
    const set = names.map((name) => `${name} = ?`).join(", ");
    this.#sql.exec(`UPDATE trace_export SET ${set}`, ...(Object.values(change) as SqlStorageValue[]));
  }
}
