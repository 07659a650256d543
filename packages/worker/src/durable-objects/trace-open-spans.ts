/** The spans of a session that have begun and not ended, whoever holds them, so that work in progress is seen. */
import { type OpenSpan, parseOpenSpan, serialiseSpan } from "@valet/shared/tracing";

/** The object's own; other owners are the instance ids of runners. */
export const OBJECT = "object";

export class TraceOpenSpans {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS trace_open (
        span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, owner TEXT NOT NULL, span TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS trace_sealed (span_id TEXT PRIMARY KEY) WITHOUT ROWID;
    `);
  }

  /** Keeps a span as it is now, in place of what was kept of it before. */
  keep(owner: string, span: OpenSpan): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO trace_open (span_id, trace_id, owner, span) VALUES (?, ?, ?, ?)",
      ...[span.context.spanId, span.context.traceId, owner, serialiseSpan(span)],
    );
  }

  /** The span has ended. */
  drop(spanId: string): void {
    this.#sql.exec("DELETE FROM trace_open WHERE span_id = ?", spanId);
  }

  get(spanId: string): OpenSpan | undefined {
    return this.#read("WHERE span_id = ?", spanId)[0];
  }

  of(owner: string): OpenSpan[] {
    return this.#read("WHERE owner = ?", owner);
  }

  ofTrace(traceId: string): OpenSpan[] {
    return this.#read("WHERE trace_id = ?", traceId);
  }

  all(): OpenSpan[] {
    return this.#read("");
  }

  /** Remembers that we ended it in its owner's place. */
  markSealed(spanId: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO trace_sealed (span_id) VALUES (?)", spanId);
  }

  isSealed(spanId: string): boolean {
    return this.#sql.exec("SELECT 1 FROM trace_sealed WHERE span_id = ?", spanId).toArray().length > 0;
  }

  #read(where: string, ...bindings: SqlStorageValue[]): OpenSpan[] {
    const rows = this.#sql.exec<{ span: string }>(`SELECT span FROM trace_open ${where}`, ...bindings).toArray();
    return rows.flatMap(({ span }) => parseOpenSpan(span) ?? []);
  }
}
