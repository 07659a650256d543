/** The open spans of a session, whoever emits them, so that work in progress is visible. */
import { type OpenSpan, parseOpenSpan, serialiseSpan } from "@valet/shared/tracing";
import type { SpanRef } from "./trace-accounts.ts";

/** The owner of the object's own spans; other owners are instance ids of runners, which are never empty. */
export const OBJECT = "";

/** Far below the maximum of a row (2 MB), in UTF-16 units of up to three bytes. */
const MAX_LENGTH = 512 * 1024;

export interface OwnedSpan {
  /** {@link OBJECT}, or the instance id of a runner. */
  readonly owner: string;
  readonly span: OpenSpan;
}

/** Ends of received spans that are refused. */
export interface RefusedEnds {
  /** Ids of spans that the object itself holds open, which no other process may end. */
  readonly ownOpen: ReadonlySet<string>;
  /** Ids of spans that were sealed before. */
  readonly sealed: ReadonlySet<string>;
  /** Those of the sealed spans that end for the first time now; further ends are repeats. */
  readonly late: ReadonlySet<string>;
}

export class TraceOpenSpans {
  readonly #sql: SqlStorage;
  /** Whether any span was sealed, which few sessions have; unknown until it is asked. */
  #hasSealed: boolean | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /**
   * Stores a span's current state, in place of its owner's earlier one.
   * @returns false if it is too large
   */
  keep(owner: string, span: OpenSpan): boolean {
    const text = serialiseSpan(span);
    if (text.length > MAX_LENGTH) return false;
    this.#sql.exec(
      `INSERT INTO trace_open (span_id, trace_id, owner, span) VALUES (?, ?, ?, ?)
       ON CONFLICT (span_id) DO UPDATE SET span = excluded.span WHERE owner = excluded.owner`,
      span.context.spanId,
      span.context.traceId,
      owner,
      text,
    );
    return true;
  }

  /** Removes spans that have ended. */
  drop(spanIds: readonly string[]): void {
    for (const spanId of spanIds) this.#sql.exec("DELETE FROM trace_open WHERE span_id = ?", spanId);
  }

  /** Removes spans of other processes whose ends are lost. Returns those that were open. */
  dropReceived(spanIds: readonly string[]): SpanRef[] {
    const rows = this.#sql.exec<{ traceId: string; spanId: string }>(
      `DELETE FROM trace_open WHERE owner <> ? AND span_id IN (SELECT value FROM json_each(?))
       RETURNING trace_id AS traceId, span_id AS spanId`,
      OBJECT,
      JSON.stringify(spanIds),
    );
    return rows.toArray();
  }

  /** Removes received spans that have ended. Returns those whose end is refused. */
  endReceived(spanIds: readonly string[]): RefusedEnds {
    const ids = JSON.stringify(spanIds);
    const refused = this.#sql.exec<{ span_id: string; owned: number; late: number }>(
      `SELECT span_id, 0 AS owned, late FROM trace_sealed WHERE span_id IN (SELECT value FROM json_each(?))
       UNION SELECT span_id, 1, 0 FROM trace_open WHERE owner = ? AND span_id IN (SELECT value FROM json_each(?))`,
      ids,
      OBJECT,
      ids,
    );
    const [ownOpen, sealed, late] = [new Set<string>(), new Set<string>(), new Set<string>()];
    for (const { span_id: id, owned, late: wasLate } of refused) {
      (owned === 1 ? ownOpen : sealed).add(id);
      if (owned === 0 && wasLate === 0) late.add(id);
    }
    if (late.size > 0) {
      const query = "UPDATE trace_sealed SET late = 1 WHERE late = 0 AND span_id IN (SELECT value FROM json_each(?))";
      this.#sql.exec(query, ids);
    }
    this.#sql.exec(
      "DELETE FROM trace_open WHERE owner <> ? AND span_id IN (SELECT value FROM json_each(?))",
      OBJECT,
      ids,
    );
    return { ownOpen, sealed, late };
  }

  /** Returns which of these ids are those of open or sealed spans, whoever emits them. */
  known(spanIds: readonly string[]): ReadonlySet<string> {
    if (spanIds.length === 0) return new Set();
    const rows = this.#sql.exec<{ span_id: string }>(
      `SELECT span_id FROM trace_sealed WHERE span_id IN (SELECT value FROM json_each(?1))
       UNION SELECT span_id FROM trace_open WHERE span_id IN (SELECT value FROM json_each(?1))`,
      JSON.stringify(spanIds),
    );
    return new Set(rows.toArray().map(({ span_id: id }) => id));
  }

  get(spanId: string): OpenSpan | undefined {
    return this.#read("WHERE span_id = ?", spanId)[0];
  }

  of(owner: string): OpenSpan[] {
    return this.#read("WHERE owner = ?", owner);
  }

  /** Returns the open spans of a trace, with their owners. */
  ofTrace(traceId: string): OwnedSpan[] {
    return this.#readOwned("WHERE trace_id = ?", traceId);
  }

  /** Whether spans of a trace are open. */
  hasTrace(traceId: string): boolean {
    return this.#sql.exec("SELECT 1 FROM trace_open WHERE trace_id = ? LIMIT 1", traceId).toArray().length > 0;
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

  /** Returns the open spans of all traces, with their owners. */
  allOwned(): OwnedSpan[] {
    return this.#readOwned("");
  }

  /** Records that the object ended the span in its owner's place. */
  markSealed(spanId: string): void {
    this.#hasSealed = true;
    this.#sql.exec("INSERT OR IGNORE INTO trace_sealed (span_id) VALUES (?)", spanId);
  }

  isSealed(spanId: string): boolean {
    this.#hasSealed ??= this.#sql.exec("SELECT 1 FROM trace_sealed LIMIT 1").toArray().length > 0;
    if (!this.#hasSealed) return false;
    return this.#sql.exec("SELECT 1 FROM trace_sealed WHERE span_id = ?", spanId).toArray().length > 0;
  }

  #read(where: string, ...bindings: SqlStorageValue[]): OpenSpan[] {
    const rows = this.#sql.exec<{ span: string }>(`SELECT span FROM trace_open ${where}`, ...bindings).toArray();
    return rows.flatMap(({ span }) => parseOpenSpan(span) ?? []);
  }

  #readOwned(where: string, ...bindings: SqlStorageValue[]): OwnedSpan[] {
    const query = `SELECT owner, span FROM trace_open ${where}`;
    const rows = this.#sql.exec<{ owner: string; span: string }>(query, ...bindings).toArray();
    return rows.flatMap(({ owner, span: text }) => {
      const span = parseOpenSpan(text);
      return span === undefined ? [] : [{ owner, span }];
    });
  }
}
