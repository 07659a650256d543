/**
 * The append-only log of a session's ended spans: a tail of small rows, folded into segments. A segment is one row with a
 * gzip'd `ExportTraceServiceRequest`, and one index row per trace in it. 5,000 spans cost some 50 rows written this way;
 * as a row a span they would cost 20,000.
 *
 * Every call is synchronous and may stand inside a caller's transaction.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import type { StoredSpan } from "./otlp-request.ts";
import { mergeSummaries, summarise, type TraceSummary } from "./trace-summary.ts";

/** Spans that share a resource and a scope, each as its text within `resourceSpans`. */
export interface TailEntry {
  readonly resource: string;
  readonly scope: string;
  /** Not sampled ones are kept for the session's own views and never exported. */
  readonly sampled: boolean;
  readonly spans: readonly StoredSpan[];
}

export interface Segment {
  readonly id: number;
  /** The request, gzip'd. */
  readonly body: Uint8Array<ArrayBuffer>;
  readonly spans: number;
}

/** A segment closes with as many spans, or as many bytes before compression: far below what a row can hold (2 MB). */
const MAX_SPANS = 200;
const MAX_BYTES = 512 * 1024;

type TailRow = {
  id: number;
  resource: string;
  scope: string;
  spans: number;
  summaries: string;
  body: string;
};

export class TraceSegments {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS trace_tail (
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, sampled INTEGER NOT NULL, spans INTEGER NOT NULL,
        resource TEXT NOT NULL, scope TEXT NOT NULL, summaries TEXT NOT NULL, body TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS trace_segments (
        id INTEGER PRIMARY KEY AUTOINCREMENT, closed_ms INTEGER NOT NULL, sampled INTEGER NOT NULL,
        spans INTEGER NOT NULL, body BLOB NOT NULL);
      CREATE TABLE IF NOT EXISTS trace_index (
        trace_id TEXT NOT NULL, segment_id INTEGER NOT NULL, summary TEXT NOT NULL, PRIMARY KEY (trace_id, segment_id)
      ) WITHOUT ROWID;
    `);
  }

  /** Adds to the tail, and closes segments while it is full. */
  append({ resource, scope, sampled, spans }: TailEntry, nowMs: number): void {
    const body = spans.map(({ text }) => text).join(",");
    const summaries = JSON.stringify(summarise(spans));
    this.#sql.exec(
      "INSERT INTO trace_tail (at_ms, sampled, spans, resource, scope, summaries, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[nowMs, Number(sampled), spans.length, resource, scope, summaries, body],
    );
    const full = this.#sql.exec<{ spans: number; bytes: number }>(
      "SELECT SUM(spans) AS spans, SUM(LENGTH(body)) AS bytes FROM trace_tail WHERE sampled = ?",
      Number(sampled),
    );
    const tail = full.one();
    if (tail.spans >= MAX_SPANS || tail.bytes >= MAX_BYTES) this.#close(sampled, nowMs);
  }

  /** When the oldest span of the tail came, epoch ms; `undefined` when it is empty. */
  oldestMs(): number | undefined {
    return this.#sql.exec<{ at: number | null }>("SELECT MIN(at_ms) AS at FROM trace_tail").one().at ?? undefined;
  }

  /** Folds the whole tail into segments. */
  fold(nowMs: number): void {
    this.#close(true, nowMs);
    this.#close(false, nowMs);
  }

  #close(sampled: boolean, nowMs: number): void {
    for (;;) {
      const rows = this.#takeTail(sampled);
      const last = rows.at(-1);
      if (last === undefined) return;
      const spans = rows.reduce((sum, row) => sum + row.spans, 0);
      const [segment] = this.#sql.exec<{ id: number }>(
        "INSERT INTO trace_segments (closed_ms, sampled, spans, body) VALUES (?, ?, ?, ?) RETURNING id",
        ...[nowMs, Number(sampled), spans, gzipSync(requestOf(rows))],
      );
      for (const summary of mergeSummaries(rows.map(({ summaries }) => JSON.parse(summaries)))) {
        this.#sql.exec(
          "INSERT INTO trace_index (trace_id, segment_id, summary) VALUES (?, ?, ?)",
          ...[summary.traceId, (segment as { id: number }).id, JSON.stringify(summary)],
        );
      }
      this.#sql.exec("DELETE FROM trace_tail WHERE sampled = ? AND id <= ?", Number(sampled), last.id);
    }
  }

  /** The oldest rows of the tail, as many as one segment holds and at least one. */
  #takeTail(sampled: boolean): TailRow[] {
    const rows: TailRow[] = [];
    let spans = 0;
    let bytes = 0;
    for (const row of this.#tailRows("WHERE sampled = ?", Number(sampled))) {
      spans += row.spans;
      bytes += row.body.length;
      if (rows.length > 0 && (spans > MAX_SPANS || bytes > MAX_BYTES)) break;
      rows.push(row);
    }
    return rows;
  }

  #tailRows(where: string, ...bindings: SqlStorageValue[]): TailRow[] {
    const columns = "id, resource, scope, spans, summaries, body";
    return this.#sql.exec<TailRow>(`SELECT ${columns} FROM trace_tail ${where} ORDER BY id`, ...bindings).toArray();
  }

  /** The first sampled segment after `cursor`: the log is the outbox of the export. */
  nextSampled(cursor: number): Segment | undefined {
    return this.#segment("WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1", cursor);
  }

  hasSampledAfter(cursor: number): boolean {
    const found = this.#sql.exec("SELECT 1 FROM trace_segments WHERE id > ? AND sampled = 1 LIMIT 1", cursor);
    return found.toArray().length > 0;
  }

  #segment(where: string, ...bindings: SqlStorageValue[]): Segment | undefined {
    const query = `SELECT id, spans, body FROM trace_segments ${where}`;
    const [row] = this.#sql.exec<{ id: number; spans: number; body: ArrayBuffer }>(query, ...bindings).toArray();
    return row === undefined ? undefined : { ...row, body: new Uint8Array(row.body) };
  }

  /** Bytes of all segments, compressed. */
  bytes(): number {
    return (
      this.#sql.exec<{ bytes: number | null }>("SELECT SUM(LENGTH(body)) AS bytes FROM trace_segments").one().bytes ?? 0
    );
  }

  /** Deletes the oldest segment. @returns what it was, or `undefined` when there is none */
  deleteOldest(): { id: number; spans: number; sampled: boolean } | undefined {
    const query =
      "DELETE FROM trace_segments WHERE id = (SELECT MIN(id) FROM trace_segments) RETURNING id, spans, sampled";
    const [row] = this.#sql.exec<{ id: number; spans: number; sampled: number }>(query).toArray();
    if (row === undefined) return undefined;
    this.#sql.exec("DELETE FROM trace_index WHERE segment_id = ?", row.id);
    return { ...row, sampled: row.sampled === 1 };
  }

  /** A summary of every trace, or of one, over segments and tail. */
  summaries(traceId?: string): TraceSummary[] {
    const [where, bindings] = traceId === undefined ? ["", []] : ["WHERE trace_id = ?", [traceId]];
    const rows = this.#sql.exec<{ summary: string }>(`SELECT summary FROM trace_index ${where}`, ...bindings).toArray();
    const folded: TraceSummary[] = rows.map(({ summary }) => JSON.parse(summary));
    const tail: TraceSummary[][] = this.#tailRows("").map(({ summaries }) => JSON.parse(summaries));
    return mergeSummaries([folded, ...tail]).filter((each) => traceId === undefined || each.traceId === traceId);
  }

  /** The requests, as text, in which spans of the trace may be: segments that hold some, and the tail. */
  requestsOf(traceId: string): string[] {
    const query = "SELECT segment_id AS id FROM trace_index WHERE trace_id = ? ORDER BY segment_id";
    const ids = this.#sql.exec<{ id: number }>(query, traceId).toArray();
    const segments = ids.flatMap(({ id }) => this.#segment("WHERE id = ?", id) ?? []);
    return [...segments.map(({ body }) => unpack(body)), ...this.#tailRequest()];
  }

  /** The segment after `cursor` as text, whether sampled or not, and its id. */
  textAfter(cursor: number): { id: number; text: string } | undefined {
    const segment = this.#segment("WHERE id > ? ORDER BY id LIMIT 1", cursor);
    return segment === undefined ? undefined : { id: segment.id, text: unpack(segment.body) };
  }

  /** The tail as one request; none when it is empty. */
  #tailRequest(): string[] {
    const rows = this.#tailRows("");
    return rows.length === 0 ? [] : [requestOf(rows)];
  }
}

function unpack(body: Uint8Array): string {
  return gunzipSync(body).toString("utf8");
}

/** One request of rows, those of equal resource and scope together. */
function requestOf(rows: readonly Pick<TailRow, "resource" | "scope" | "body">[]): string {
  const resources = new Map<string, Map<string, string[]>>();
  for (const { resource, scope, body } of rows) {
    const scopes = resources.get(resource) ?? new Map<string, string[]>();
    resources.set(resource, scopes);
    scopes.set(scope, [...(scopes.get(scope) ?? []), body]);
  }
  const resourceSpans = [...resources].map(([resource, scopes]) => {
    const scopeSpans = [...scopes].map(([scope, bodies]) => `{"scope":${scope},"spans":[${bodies.join(",")}]}`);
    return `{"resource":${resource},"scopeSpans":[${scopeSpans.join(",")}]}`;
  });
  return `{"resourceSpans":[${resourceSpans.join(",")}]}`;
}
