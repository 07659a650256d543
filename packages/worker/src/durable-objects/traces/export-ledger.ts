/** The row in which a session's export keeps where it stands. */
import { type ExportState, FIRST_STATE } from "./export-rules.ts";

interface ExportRow extends ExportState {
  /** What the endpoint and its headers were, hashed: one of the headers may be a key. */
  readonly config: string;
  /** What the session shows: 0 nothing, 1 that its spans do not arrive, 2 that it has stopped trying. */
  readonly shown: number;
}

export class ExportLedger {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("INSERT OR IGNORE INTO trace_export (id, segment_id, attempts, not_before_ms) VALUES (1, 0, 0, 0)");
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
