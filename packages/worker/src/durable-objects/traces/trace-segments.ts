/**
 * The append-only log of a session's ended spans: a tail of small rows, which is folded into segments. A segment is one
 * row with a gzip'd `ExportTraceServiceRequest`, and one index row per trace in it. This way 5,000 spans cost some 50
 * row writes; one row per span would cost 20,000.
 *
 * Every call is synchronous and may run inside a caller's transaction.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import type { SpanFacts } from "./otlp-request.ts";
import { TraceIndex } from "./trace-index.ts";
import { mergeSummaries, summarise, type TraceSummary } from "./trace-summary.ts";
import { REQUEST_END, REQUEST_HEAD, spansOf } from "./trace-text.ts";

/** Spans with the same resource and scope, each as its text within `resourceSpans`. */
export interface TailEntry {
  readonly resource: string;
  readonly scope: string;
  /** Unsampled spans are stored for the session's own views and never exported. */
  readonly sampled: boolean;
  readonly spans: readonly SpanFacts[];
  /** The spans as comma-separated texts. */
  readonly body: string;
}

export interface Segment {
  readonly id: number;
  /** The gzip'd request. */
  readonly body: Uint8Array<ArrayBuffer>;
  readonly spans: number;
}

/** The next segment that the export has to send. */
export interface SegmentHead {
  readonly id: number;
  /** When it was closed, epoch ms. */
  readonly closedMs: number;
}

/** A segment closes at this many spans, or this many uncompressed bytes, far below the maximum of a row (2 MB). */
const MAX_SPANS = 200;
const MAX_BYTES = 512 * 1024;

/** A fifth more bytes than the default level 6, in a third of its time; compression is most of a segment's cost. */
const GZIP_LEVEL = 3;

/** A part of a request, in the tail or about to be appended. */
interface TailPart {
  readonly resource: string;
  readonly scope: string;
  readonly spans: number;
  readonly bytes: number;
  readonly summaries: readonly TraceSummary[];
  readonly body: string;
}

export class TraceSegments {
  /** Which traces the segments hold. */
  readonly index: TraceIndex;
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.index = new TraceIndex(sql);
  }

  /** Appends to the tail. Entries that fill it up go directly into a segment, and are not written twice. */
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
      nowMs,
      Number(sampled),
      spans,
      bytes,
      resource,
      scope,
      JSON.stringify(summaries),
      body,
    );
  }

  /** Returns when the tail's oldest span arrived, epoch ms; `undefined` when the tail is empty. */
  oldestMs(): number | undefined {
    const query = "SELECT at_ms AS at FROM trace_tail ORDER BY id LIMIT 1";
    return this.#sql.exec<{ at: number }>(query).toArray()[0]?.at;
  }

  /** Folds the whole tail into segments. */
  fold(nowMs: number): void {
    this.#close(true, nowMs);
    this.#close(false, nowMs);
  }

  /** Moves the tail, and further parts after it, into segments. */
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
        nowMs,
        Number(sampled),
        spans,
        this.#extent().end + body.length,
        endSampled,
        body,
      )
      .one();
    this.index.add(id, spans, mergeSummaries(parts.map(({ summaries }) => summaries)));
  }

  #tail(where = "", ...bindings: SqlStorageValue[]): TailPart[] {
    const query = `SELECT resource, scope, spans, bytes, summaries, body FROM trace_tail ${where} ORDER BY id`;
    const rows = this.#sql.exec<Omit<TailPart, "summaries"> & { summaries: string }>(query, ...bindings);
    return rows.toArray().map((row) => ({ ...row, summaries: JSON.parse(row.summaries) }));
  }

  /** Returns the first sampled segment after `cursor`; the export's outbox. */
  nextSampled(cursor: number): Segment | undefined {
    return this.#segment("WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1", cursor);
  }

  /** Returns the segment after `cursor`, sampled or not, without its body. */
  headAfter(cursor: number): (SegmentHead & { readonly isSampled: boolean }) | undefined {
    const query = "SELECT id, closed_ms, sampled FROM trace_segments WHERE id > ? ORDER BY id LIMIT 1";
    const [row] = this.#sql.exec<{ id: number; closed_ms: number; sampled: number }>(query, cursor).toArray();
    return row && { id: row.id, closedMs: row.closed_ms, isSampled: row.sampled === 1 };
  }

  /** Returns the first sampled segment after `cursor`. Reads every unsampled one before it. */
  sampledHeadAfter(cursor: number): SegmentHead | undefined {
    const query = "SELECT id, closed_ms FROM trace_segments WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1";
    const [row] = this.#sql.exec<{ id: number; closed_ms: number }>(query, cursor).toArray();
    return row && { id: row.id, closedMs: row.closed_ms };
  }

  /** Returns the id of the newest segment, sampled or not; 0 when there is none. */
  newestId(): number {
    return this.#sql.exec<{ id: number | null }>("SELECT MAX(id) AS id FROM trace_segments").one().id ?? 0;
  }

  /**
   * Returns how many spans the sampled segments after `cursor` hold. Reads two rows, whatever the number of segments.
   */
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

  /** Returns the running count of sampled spans at the newest segment, from the first segment with a count. */
  #endSampled(): number {
    const query = "SELECT end_sampled AS spans FROM trace_segments ORDER BY id DESC LIMIT 1";
    return this.#sql.exec<{ spans: number | null }>(query).toArray()[0]?.spans ?? 0;
  }

  #segment(where: string, ...bindings: SqlStorageValue[]): Segment | undefined {
    const query = `SELECT id, spans, body FROM trace_segments ${where}`;
    const [row] = this.#sql.exec<{ id: number; spans: number; body: ArrayBuffer }>(query, ...bindings).toArray();
    return row === undefined ? undefined : { ...row, body: new Uint8Array(row.body) };
  }

  /** Returns the compressed size of all segments, in bytes. */
  bytes(): number {
    const { begin, end } = this.#extent();
    return end - begin;
  }

  /**
   * Returns the offsets at which the first segment begins and the last one ends, as if they were in one file, so that
   * no fold has to add up all sizes.
   */
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
   * Deletes the oldest segment, but never the newest: the next id follows from it, and ids must not repeat.
   * @returns the deleted segment; `undefined` when there is none to delete
   */
  deleteOldest(): (Segment & { readonly sampled: boolean }) | undefined {
    const query = `DELETE FROM trace_segments
      WHERE id = (SELECT MIN(id) FROM trace_segments) AND id < (SELECT MAX(id) FROM trace_segments)
      RETURNING id, spans, sampled, body`;
    const rows = this.#sql.exec<{ id: number; spans: number; sampled: number; body: ArrayBuffer }>(query).toArray();
    const [row] = rows;
    if (row === undefined) return undefined;
    const body = new Uint8Array(row.body);
    this.index.remove(row.id, new Set(spansOf(unpack(body)).map(({ traceId }) => traceId)));
    return { id: row.id, spans: row.spans, body, sampled: row.sampled === 1 };
  }

  /** Returns the summaries, over segments and tail, of the traces that are in the tail. */
  tailSummaries(): TraceSummary[] {
    const tail = mergeSummaries(this.#tail().map(({ summaries }) => summaries));
    return mergeSummaries([tail, tail.flatMap(({ traceId }) => this.index.summary(traceId) ?? [])]);
  }

  /** Returns a segment's request as text; `undefined` once it is deleted. */
  text(id: number): string | undefined {
    const segment = this.#segment("WHERE id = ?", id);
    return segment === undefined ? undefined : unpack(segment.body);
  }

  /** Returns the segment after `cursor` as text, sampled or not, with its id. */
  textAfter(cursor: number): { id: number; text: string } | undefined {
    const segment = this.#segment("WHERE id > ? ORDER BY id LIMIT 1", cursor);
    return segment === undefined ? undefined : { id: segment.id, text: unpack(segment.body) };
  }

  /** Returns the tail as one request; `undefined` when it is empty. */
  tailText(): string | undefined {
    const parts = this.#tail();
    return parts.length === 0 ? undefined : requestOf(parts);
  }
}

/** Merges entries with the same resource and scope, up to the size of a segment: each becomes a row of the tail. */
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

/** The size of a part is that of its texts, since summaries are short. */
function toPart({ resource, scope, spans, body }: TailEntry): TailPart {
  const bytes = Buffer.byteLength(resource) + Buffer.byteLength(scope) + Buffer.byteLength(body);
  return { resource, scope, spans: spans.length, bytes, summaries: summarise(spans), body };
}

function sum(parts: readonly TailPart[], what: "spans" | "bytes"): number {
  return parts.reduce((total, part) => total + part[what], 0);
}

/** Splits parts, in order, into groups of a segment's size, with at least one part each. */
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

/** Returns a segment's request as text. */
export function unpack(body: Uint8Array): string {
  return gunzipSync(body).toString("utf8");
}

/** Joins parts into one request, those with equal resource and scope together. */
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
