/** The row that stores the state of a session's export. It is read once, since the object is its only writer. */
import { type ExportState, FIRST_STATE } from "./export-rules.ts";

export interface ExportRow extends ExportState {
  /** A hash of the endpoint and its headers, one of which may be a key. */
  readonly config: string;
  /** What the session's view shows: 0 nothing, 1 an export problem, 2 that the export has stopped. */
  readonly shown: number;
  /** The reason that the session's view shows; empty for none. */
  readonly shown_reason: string;
}

export class ExportLedger {
  readonly #sql: SqlStorage;
  #row: ExportRow | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("INSERT OR IGNORE INTO trace_export (id, segment_id, attempts, not_before_ms) VALUES (1, 0, 0, 0)");
  }

  read(): ExportRow {
    this.#row ??= this.#readRow();
    return this.#row;
  }

  /** Reads the row again. Call it after a rollback. */
  reload(): void {
    this.#row = undefined;
  }

  /** Writes the given columns of the row. */
  write(change: Partial<ExportRow>): void {
    const row = { ...this.read(), ...change };
    const names = Object.keys(change);
    const set = names.map((name) => `${name} = ?`).join(", ");
    this.#sql.exec(`UPDATE trace_export SET ${set}`, ...(Object.values(change) as SqlStorageValue[]));
    this.#row = row;
  }

  #readRow(): ExportRow {
    const columns = [...Object.keys(FIRST_STATE), "config", "shown", "shown_reason"].join(", ");
    return this.#sql.exec(`SELECT ${columns} FROM trace_export`).one() as unknown as ExportRow;
  }
}
