/** The spans of a session that have begun and not ended, whoever holds them, so that work in progress is seen. */
import { type OpenSpan, parseOpenSpan, serialiseSpan } from "@valet/shared/tracing";

/** The object's own; other owners are the instance ids of runners, which are never empty. */
export const OBJECT = "";

/** Far below what a row can hold (2 MB), in UTF-16 units of up to three bytes. */
const MAX_LENGTH = 512 * 1024;

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

  /**
   * Keeps a span as it is now, in place of what its owner had kept of it before.
   * @returns false if it is too large to be kept
   */
  keep(owner: string, span: OpenSpan): boolean {
    const text = serialiseSpan(span);
    if (text.length > MAX_LENGTH) return false;
    this.#sql.exec(
      `INSERT INTO trace_open (span_id, trace_id, owner, span) VALUES (?, ?, ?, ?)
       ON CONFLICT (span_id) DO UPDATE SET span = excluded.span WHERE owner = excluded.owner`,
      ...[span.context.spanId, span.context.traceId, owner, text],
    );
    return true;
  }

  /** The span has ended. */
  drop(spanId: string): void {
    this.#sql.exec("DELETE FROM trace_open WHERE span_id = ?", spanId);
  }

  /**
   * Notes that spans which came from outside have ended.
   * @returns those that may not: sealed before, or the object's own and still open
   */
  endReceived(spanIds: readonly string[]): Set<string> {
    const ids = JSON.stringify(spanIds);
    const refused = this.#sql.exec<{ span_id: string }>(
      `SELECT span_id FROM trace_sealed WHERE span_id IN (SELECT value FROM json_each(?))
       UNION SELECT span_id FROM trace_open WHERE owner = ? AND span_id IN (SELECT value FROM json_each(?))`,
      ...[ids, OBJECT, ids],
    );
    const found = new Set(refused.toArray().map(({ span_id }) => span_id));
    this.#sql.exec(
      "DELETE FROM trace_open WHERE owner <> ? AND span_id IN (SELECT value FROM json_each(?))",
      ...[OBJECT, ids],
    );
    return found;
  }

  get(spanId: string): OpenSpan | undefined {
    return this.#read("WHERE span_id = ?", spanId)[0];
  }

  of(owner: string): OpenSpan[] {
    return this.#read("WHERE owner = ?", owner);
  }

  /** With whose they are. */
  ofTrace(traceId: string): { readonly owner: string; readonly span: OpenSpan }[] {
    const query = "SELECT owner, span FROM trace_open WHERE trace_id = ?";
    const rows = this.#sql.exec<{ owner: string; span: string }>(query, traceId).toArray();
    return rows.flatMap(({ owner, span: text }) => {
      const span = parseOpenSpan(text);
      return span === undefined ? [] : [{ owner, span }];
    });
  }

  count(owner: string): number {
    const [row] = this.#sql
      .exec<{ n: number }>("SELECT COUNT(*) AS n FROM trace_open WHERE owner = ?", owner)
      .toArray();
    return row?.n ?? 0;
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
