/**
 * The append-only log of a session's ended spans: a tail of small rows, folded into segments. A segment is one row with a
 * gzip'd `ExportTraceServiceRequest`, and one index row per trace in it. 5,000 spans cost some 50 rows written this way;
 * as a row a span they would cost 20,000.
 *
 * Every call is synchronous and may stand inside a caller's transaction.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import type { SpanFacts } from "./otlp-request.ts";
import { mergeSummaries, summarise, type TraceSummary } from "./trace-summary.ts";
import { REQUEST_END, REQUEST_HEAD, spansOf } from "./trace-text.ts";

/** Spans that share a resource and a scope, each as its text within `resourceSpans`. */
export interface TailEntry {
  readonly resource: string;
  readonly scope: string;
  /** Not sampled ones are kept for the session's own views and never exported. */
  readonly sampled: boolean;
  readonly spans: readonly SpanFacts[];
  /** The spans as text, with commas between them. */
  readonly body: string;
}

export interface Segment {
  readonly id: number;
  /** The request, gzip'd. */
  readonly body: Uint8Array<ArrayBuffer>;
  readonly spans: number;
}

/** A place in the list of traces, which has the newest first. */
export interface TracePosition {
  readonly startUs: number;
  readonly traceId: string;
}

/** A segment closes with as many spans, or as many bytes before compression: far below what a row can hold (2 MB). */
const MAX_SPANS = 200;
const MAX_BYTES = 512 * 1024;

/** A fifth more bytes than the default level of 6, in a third of its time, which is most of what a segment takes. */
const GZIP_LEVEL = 3;

/** Part of a request, in the tail or on its way there. */
interface TailPart {
  readonly resource: string;
  readonly scope: string;
  readonly spans: number;
  readonly bytes: number;
  readonly summaries: readonly TraceSummary[];
  readonly body: string;
}

export class TraceSegments {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Adds to the tail. What fills it up goes into a segment at once, and is not written twice. */
  append(entries: readonly TailEntry[], nowMs: number): void {
    for (const sampled of [true, false]) {
      const parts = merge(entries.filter((entry) => entry.sampled === sampled)).map(toPart);
      if (parts.length === 0) continue;
      const tail = this.#sql
        .exec<{ spans: number | null; bytes: number | null }>(
          "SELECT SUM(spans) AS spans, SUM(bytes) AS bytes FROM trace_tail WHERE sampled = ?",
          Number(sampled),
        )
        .one();
      const spans = sum(parts, "spans") + (tail.spans ?? 0);
      const bytes = sum(parts, "bytes") + (tail.bytes ?? 0);
      if (spans >= MAX_SPANS || bytes >= MAX_BYTES) this.#close(sampled, nowMs, parts);
      else for (const part of parts) this.#keep(sampled, nowMs, part);
    }
  }

  #keep(sampled: boolean, nowMs: number, { spans, bytes, resource, scope, summaries, body }: TailPart): void {
    this.#sql.exec(
      "INSERT INTO trace_tail (at_ms, sampled, spans, bytes, resource, scope, summaries, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      ...[nowMs, Number(sampled), spans, bytes, resource, scope, JSON.stringify(summaries), body],
    );
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

  /** Puts the tail, and what comes after it, into segments. */
  #close(sampled: boolean, nowMs: number, parts: readonly TailPart[] = []): void {
    const tail = this.#tail("WHERE sampled = ?", Number(sampled));
    for (const segment of split([...tail, ...parts])) this.#write(sampled, nowMs, segment);
    this.#sql.exec("DELETE FROM trace_tail WHERE sampled = ?", Number(sampled));
  }

  #write(sampled: boolean, nowMs: number, parts: readonly TailPart[]): void {
    const body = gzipSync(requestOf(parts), { level: GZIP_LEVEL });
    const spans = sum(parts, "spans");
    const endSampled = this.#endSampled() + (sampled ? spans : 0);
    const { id } = this.#sql
      .exec<{ id: number }>(
        `INSERT INTO trace_segments (closed_ms, sampled, spans, end_bytes, end_sampled, body)
         VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
        ...[nowMs, Number(sampled), spans, this.#extent().end + body.length, endSampled, body],
      )
      .one();
    for (const summary of mergeSummaries(parts.map(({ summaries }) => summaries))) {
      this.#sql.exec(
        "INSERT INTO trace_index (trace_id, segment_id, start_us, summary) VALUES (?, ?, ?, ?)",
        ...[summary.traceId, id, summary.startUs, JSON.stringify(summary)],
      );
    }
  }

  #tail(where = "", ...bindings: SqlStorageValue[]): TailPart[] {
    const query = `SELECT resource, scope, spans, bytes, summaries, body FROM trace_tail ${where} ORDER BY id`;
    const rows = this.#sql.exec<Omit<TailPart, "summaries"> & { summaries: string }>(query, ...bindings);
    return rows.toArray().map((row) => ({ ...row, summaries: JSON.parse(row.summaries) }));
  }

  /** The first sampled segment after `cursor`: the log is the outbox of the export. */
  nextSampled(cursor: number): Segment | undefined {
    return this.#segment("WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1", cursor);
  }

  /** Its id; `undefined` when there is none. */
  nextSampledId(cursor: number): number | undefined {
    const query = "SELECT id FROM trace_segments WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1";
    return this.#sql.exec<{ id: number }>(query, cursor).toArray()[0]?.id;
  }

  /** Of the newest sampled segment; `undefined` when there is none. */
  newestSampledId(): number | undefined {
    const query = "SELECT id FROM trace_segments WHERE sampled = 1 ORDER BY id DESC LIMIT 1";
    return this.#sql.exec<{ id: number }>(query).toArray()[0]?.id;
  }

  /** How many spans the sampled segments after `cursor` hold. Reads two rows, however many segments there are. */
  sampledSpans(cursor: number): number {
    const [first] = this.#sql
      .exec<{ begin: number | null }>(
        `SELECT end_sampled - CASE sampled WHEN 1 THEN spans ELSE 0 END AS begin FROM trace_segments
         WHERE id > ? ORDER BY id LIMIT 1`,
        cursor,
      )
      .toArray();
    if (first === undefined) return 0;
    if (first.begin !== null) return this.#endSampled() - first.begin;
    const query = "SELECT TOTAL(spans) AS spans FROM trace_segments WHERE id > ? AND sampled = 1";
    return this.#sql.exec<{ spans: number }>(query, cursor).one().spans;
  }

  /** How many sampled spans there have been up to the newest segment, counted from the first that says so. */
  #endSampled(): number {
    const query = "SELECT end_sampled AS spans FROM trace_segments ORDER BY id DESC LIMIT 1";
    return this.#sql.exec<{ spans: number | null }>(query).toArray()[0]?.spans ?? 0;
  }

  /** When that segment was closed, epoch ms; `undefined` when there is none. */
  nextSampledMs(cursor: number): number | undefined {
    const query = "SELECT closed_ms FROM trace_segments WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1";
    return this.#sql.exec<{ closed_ms: number }>(query, cursor).toArray()[0]?.closed_ms;
  }

  #segment(where: string, ...bindings: SqlStorageValue[]): Segment | undefined {
    const query = `SELECT id, spans, body FROM trace_segments ${where}`;
    const [row] = this.#sql.exec<{ id: number; spans: number; body: ArrayBuffer }>(query, ...bindings).toArray();
    return row === undefined ? undefined : { ...row, body: new Uint8Array(row.body) };
  }

  /** Bytes of all segments, compressed. */
  bytes(): number {
    const { begin, end } = this.#extent();
    return end - begin;
  }

  /** Where the first segment begins and the last one ends, were they in one file: no fold has to add up all of them. */
  #extent(): { begin: number; end: number } {
    const at = (order: string) =>
      this.#sql
        .exec<{ begin: number; end: number }>(
          `SELECT end_bytes - LENGTH(body) AS begin, end_bytes AS end FROM trace_segments ORDER BY id ${order} LIMIT 1`,
        )
        .toArray()[0];
    return { begin: at("ASC")?.begin ?? 0, end: at("DESC")?.end ?? 0 };
  }

  /**
   * Deletes the oldest segment, but never the newest: the next one takes its id from that, and no id may come twice.
   * @returns what it was, or `undefined` when there is none to delete
   */
  deleteOldest(): (Segment & { readonly sampled: boolean }) | undefined {
    const query = `DELETE FROM trace_segments
      WHERE id = (SELECT MIN(id) FROM trace_segments) AND id < (SELECT MAX(id) FROM trace_segments)
      RETURNING id, spans, sampled, body`;
    const rows = this.#sql.exec<{ id: number; spans: number; sampled: number; body: ArrayBuffer }>(query).toArray();
    const [row] = rows;
    if (row === undefined) return undefined;
    const body = new Uint8Array(row.body);
    const traceIds = new Set(spansOf(unpack(body)).map(({ traceId }) => traceId));
    this.#sql.exec(
      "DELETE FROM trace_index WHERE segment_id = ? AND trace_id IN (SELECT value FROM json_each(?))",
      ...[row.id, JSON.stringify([...traceIds])],
    );
    return { id: row.id, spans: row.spans, body, sampled: row.sampled === 1 };
  }

  /** What segments and tail hold of the traces that are in the tail. */
  tailSummaries(): TraceSummary[] {
    const tail = mergeSummaries(this.#tail().map(({ summaries }) => summaries));
    return mergeSummaries([tail, ...tail.map(({ traceId }) => this.folded(traceId))]);
  }

  /** What segments hold of a trace: one summary, or none. */
  folded(traceId: string): TraceSummary[] {
    const rows = this.#sql.exec<{ summary: string }>("SELECT summary FROM trace_index WHERE trace_id = ?", traceId);
    return mergeSummaries([rows.toArray().map(({ summary }) => JSON.parse(summary))]);
  }

  /** The newest traces of the segments, from those after `after`, but for those of `except`. */
  newestFolded(limit: number, after: TracePosition | undefined, except: readonly string[]): TraceSummary[] {
    const rows = this.#sql.exec<{ trace_id: string }>(
      `SELECT trace_id, MIN(start_us) AS start FROM trace_index
       WHERE trace_id NOT IN (SELECT value FROM json_each(?))
       GROUP BY trace_id HAVING ?2 IS NULL OR start < ?2 OR (start = ?2 AND trace_id > ?3)
       ORDER BY start DESC, trace_id LIMIT ?4`,
      ...[JSON.stringify(except), after?.startUs ?? null, after?.traceId ?? null, limit],
    );
    return rows.toArray().flatMap(({ trace_id }) => this.folded(trace_id));
  }

  /** The segments that hold spans of the trace, in order, and whether they hold no others. */
  holding(traceId: string): { id: number; isWhole: boolean }[] {
    const rows = this.#sql.exec<{ id: number; whole: number }>(
      `SELECT id, spans = json_extract(summary, '$.spans') AS whole FROM trace_index
       JOIN trace_segments ON id = segment_id WHERE trace_id = ? ORDER BY id`,
      traceId,
    );
    return rows.toArray().map(({ id, whole }) => ({ id, isWhole: whole === 1 }));
  }

  /** A segment's request as text; `undefined` once it is deleted. */
  text(id: number): string | undefined {
    const segment = this.#segment("WHERE id = ?", id);
    return segment === undefined ? undefined : unpack(segment.body);
  }

  /** The segment after `cursor` as text, whether sampled or not, and its id. */
  textAfter(cursor: number): { id: number; text: string } | undefined {
    const segment = this.#segment("WHERE id > ? ORDER BY id LIMIT 1", cursor);
    return segment === undefined ? undefined : { id: segment.id, text: unpack(segment.body) };
  }

  /** The tail as one request; `undefined` when it is empty. */
  tailText(): string | undefined {
    const parts = this.#tail();
    return parts.length === 0 ? undefined : requestOf(parts);
  }
}

/** Entries of the same origin as one, as long as a segment could hold it: each is a row of the tail. */
function merge(entries: readonly TailEntry[]): TailEntry[] {
  const merged: TailEntry[] = [];
  for (const entry of entries) {
    const last = merged.at(-1);
    const isSame = last?.resource === entry.resource && last.scope === entry.scope;
    if (last !== undefined && isSame && last.spans.length + entry.spans.length <= MAX_SPANS) {
      merged[merged.length - 1] = {
        ...entry,
        spans: [...last.spans, ...entry.spans],
        body: `${last.body},${entry.body}`,
      };
    } else {
      merged.push(entry);
    }
  }
  return merged;
}

/** Summaries' names are short, so the bytes of a part are those of its texts. */
function toPart({ resource, scope, spans, body }: TailEntry): TailPart {
  const bytes = Buffer.byteLength(resource) + Buffer.byteLength(scope) + Buffer.byteLength(body);
  return { resource, scope, spans: spans.length, bytes, summaries: summarise(spans), body };
}

function sum(parts: readonly TailPart[], what: "spans" | "bytes"): number {
  return parts.reduce((total, part) => total + part[what], 0);
}

/** Parts, in order, as many to a segment as it holds and at least one. */
function split(parts: readonly TailPart[]): TailPart[][] {
  const segments: TailPart[][] = [];
  let spans = Infinity;
  let bytes = 0;
  for (const part of parts) {
    spans += part.spans;
    bytes += part.bytes;
    if (spans > MAX_SPANS || bytes > MAX_BYTES) {
      segments.push([]);
      ({ spans, bytes } = part);
    }
    segments.at(-1)?.push(part);
  }
  return segments;
}

/** A segment's request as text. */
export function unpack(body: Uint8Array): string {
  return gunzipSync(body).toString("utf8");
}

/** One request of parts, those of equal resource and scope together. */
function requestOf(parts: readonly TailPart[]): string {
  const resources = new Map<string, Map<string, string[]>>();
  for (const { resource, scope, body } of parts) {
    const scopes = resources.get(resource) ?? new Map<string, string[]>();
    resources.set(resource, scopes);
    const bodies = scopes.get(scope) ?? [];
    scopes.set(scope, bodies);
    bodies.push(body);
  }
  const resourceSpans = [...resources].map(([resource, scopes]) => {
    const scopeSpans = [...scopes].map(([scope, bodies]) => `{"scope":${scope},"spans":[${bodies.join(",")}]}`);
    return `{"resource":${resource},"scopeSpans":[${scopeSpans.join(",")}]}`;
  });
  return `${REQUEST_HEAD}${resourceSpans.join(",")}${REQUEST_END}`;
}
