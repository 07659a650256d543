/**
 * The append-only log of a session's ended spans: a tail of small rows, which is folded into segments. A segment is one
 * row with a gzip'd `ExportTraceServiceRequest`, and one index row per trace in it. This way 5,000 spans cost some 50
 * row writes; one row per span would cost 20,000.
 *
 * Every call is synchronous and may run inside a caller's transaction.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { readStored, type SpanFacts } from "./otlp-request.ts";
import { skeletonsOf } from "./skeleton-chunks.ts";
import {
  factsOf,
  fromRow,
  joined,
  MAX_BYTES,
  MAX_SPANS,
  requestOf,
  split,
  sum,
  type TailEntry,
  type TailPart,
  type TailRow,
  toParts,
  toRow,
} from "./tail-parts.ts";
import { TraceIndex } from "./trace-index.ts";
import { TraceLinks } from "./trace-links.ts";
import { mergeSummaries, type TraceSummary } from "./trace-summary.ts";
import { bodiesOf } from "./trace-text.ts";

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

/** A fifth more bytes than the default level 6, in a third of its time; compression is most of a segment's cost. */
const GZIP_LEVEL = 3;

/** What the object knows of the log without reading it: the object is its only writer. */
interface LogState {
  /** The spans and bytes of the tail, and when its oldest row was written, epoch ms; by whether they are sampled. */
  readonly tail: Record<"sampled" | "unsampled", { spans: number; bytes: number; oldestMs: number | undefined }>;
  /** The id of the newest segment, sampled or not; 0 when there is none. */
  newestId: number;
  /** The first segment after a cursor. Each commit asks for that of the export, which moves rarely. */
  head?: { readonly cursor: number; readonly found: NextSegment } | undefined;
}

type NextSegment = SegmentHead & { readonly isSampled: boolean };

export class TraceSegments {
  /** Which traces the segments hold. */
  readonly index: TraceIndex;
  /** Which of their spans link to which traces. */
  readonly links: TraceLinks;
  readonly #sql: SqlStorage;
  #known: LogState | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.index = new TraceIndex(sql);
    this.links = new TraceLinks(sql);
  }

  /** Reads the state of the log again. Call it after a rollback. */
  reload(): void {
    this.#known = undefined;
  }

  /**
   * Appends to the tail: one row, or one each for sampled and other spans. Entries that fill it up go directly into a segment, and
   * are not written twice.
   * @param runnerAheadMs how far the sandbox's clock is ahead of the Worker's
   */
  append(entries: readonly TailEntry[], nowMs: number, runnerAheadMs = 0): void {
    for (const sampled of [true, false]) {
      const parts = toParts(
        entries.filter((entry) => entry.sampled === sampled),
        runnerAheadMs,
      );
      if (parts.length === 0) continue;
      const tail = this.#tailState(sampled);
      const spans = sum(parts, "spans") + tail.spans;
      const bytes = sum(parts, "bytes") + tail.bytes;
      if (spans >= MAX_SPANS || bytes >= MAX_BYTES) {
        this.#close(sampled, nowMs, parts);
      } else {
        this.#keep(sampled, nowMs, joined(parts));
        Object.assign(tail, { spans, bytes, oldestMs: tail.oldestMs ?? nowMs });
      }
    }
  }

  #keep(sampled: boolean, nowMs: number, part: TailPart): void {
    const { spans, bytes, resource, scope, summaries, groups, body } = toRow(part);
    this.#sql.exec(
      `INSERT INTO trace_tail (at_ms, sampled, spans, bytes, resource, scope, summaries, groups, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      nowMs,
      Number(sampled),
      spans,
      bytes,
      resource,
      scope,
      summaries,
      groups,
      body,
    );
  }

  /** Returns when the tail's oldest span arrived, epoch ms; `undefined` when the tail is empty. */
  oldestMs(): number | undefined {
    const { sampled, unsampled } = this.#state.tail;
    const oldestMs = Math.min(sampled.oldestMs ?? Infinity, unsampled.oldestMs ?? Infinity);
    return oldestMs === Infinity ? undefined : oldestMs;
  }

  #tailState(sampled: boolean) {
    return this.#state.tail[sampled ? "sampled" : "unsampled"];
  }

  get #state(): LogState {
    this.#known ??= this.#readState();
    return this.#known;
  }

  #readState(): LogState {
    const rows = this.#sql
      .exec<{ sampled: number; spans: number; bytes: number; oldestMs: number }>(
        `SELECT sampled, SUM(spans) AS spans, SUM(bytes) AS bytes, MIN(at_ms) AS oldestMs
         FROM trace_tail GROUP BY sampled`,
      )
      .toArray();
    const empty = { spans: 0, bytes: 0, oldestMs: undefined };
    const of = (sampled: number) => ({ ...empty, ...rows.find((row) => row.sampled === sampled) });
    const newest = this.#sql.exec<{ id: number | null }>("SELECT MAX(id) AS id FROM trace_segments").one();
    return { tail: { sampled: of(1), unsampled: of(0) }, newestId: newest.id ?? 0 };
  }

  /** Folds the whole tail into segments. */
  fold(nowMs: number): void {
    this.#close(true, nowMs);
    this.#close(false, nowMs);
  }

  /** Moves the tail, and further parts after it, into segments. */
  #close(sampled: boolean, nowMs: number, parts: readonly TailPart[] = []): void {
    const state = this.#tailState(sampled);
    const tail = state.spans === 0 ? [] : this.#tail("WHERE sampled = ?", Number(sampled));
    for (const segment of split([...tail, ...parts])) this.#write(sampled, nowMs, segment);
    if (state.spans > 0) this.#sql.exec("DELETE FROM trace_tail WHERE sampled = ?", Number(sampled));
    Object.assign(state, { spans: 0, bytes: 0, oldestMs: undefined });
  }

  #write(sampled: boolean, nowMs: number, parts: readonly TailPart[]): void {
    const body = gzipSync(requestOf(parts), { level: GZIP_LEVEL });
    const spans = sum(parts, "spans");
    const last = this.#last();
    const { id } = this.#sql
      .exec<{ id: number }>(
        `INSERT INTO trace_segments (closed_ms, sampled, spans, end_bytes, end_sampled, body)
         VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
        nowMs,
        Number(sampled),
        spans,
        last.endBytes + body.length,
        last.endSampled + (sampled ? spans : 0),
        body,
      )
      .one();
    this.#state.newestId = id;
    const facts = factsOf(parts);
    this.index.add(id, spans, mergeSummaries(parts.map(({ summaries }) => summaries)), skeletonsOf(facts));
    this.links.add(id, facts);
  }

  #tail(where = "", ...bindings: SqlStorageValue[]): TailPart[] {
    const query = `SELECT resource, scope, spans, bytes, summaries, groups, body FROM trace_tail ${where} ORDER BY id`;
    return this.#sql
      .exec<TailRow>(query, ...bindings)
      .toArray()
      .map(fromRow);
  }

  /** Returns the first sampled segment after `cursor`; the export's outbox. */
  nextSampled(cursor: number): Segment | undefined {
    return this.#segment("WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1", cursor);
  }

  /** Returns the segment after `cursor`, sampled or not, without its body. */
  headAfter(cursor: number): NextSegment | undefined {
    if (cursor >= this.newestId()) return undefined;
    const { head } = this.#state;
    if (head?.cursor === cursor) return head.found;
    const query = "SELECT id, closed_ms, sampled FROM trace_segments WHERE id > ? ORDER BY id LIMIT 1";
    const [row] = this.#sql.exec<{ id: number; closed_ms: number; sampled: number }>(query, cursor).toArray();
    if (row === undefined) return undefined;
    const found = { id: row.id, closedMs: row.closed_ms, isSampled: row.sampled === 1 };
    this.#state.head = { cursor, found };
    return found;
  }

  /** Returns the first sampled segment after `cursor`. Reads every unsampled one before it. */
  sampledHeadAfter(cursor: number): SegmentHead | undefined {
    const query = "SELECT id, closed_ms FROM trace_segments WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1";
    const [row] = this.#sql.exec<{ id: number; closed_ms: number }>(query, cursor).toArray();
    return row && { id: row.id, closedMs: row.closed_ms };
  }

  /** Returns the id of the newest segment, sampled or not; 0 when there is none. */
  newestId(): number {
    return this.#state.newestId;
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
    if (first.begin !== null) return this.#last().endSampled - first.begin;
    const query = "SELECT TOTAL(spans) AS spans FROM trace_segments WHERE id > ? AND sampled = 1";
    return this.#sql.exec<{ spans: number }>(query, cursor).one().spans;
  }

  /**
   * Returns the running counts at the newest segment: of bytes, so that no fold has to add up all sizes, and of sampled spans, from
   * the first segment with a count.
   */
  #last(): { readonly endBytes: number; readonly endSampled: number } {
    const query = "SELECT end_bytes AS bytes, end_sampled AS spans FROM trace_segments ORDER BY id DESC LIMIT 1";
    const [row] = this.#sql.exec<{ bytes: number; spans: number | null }>(query).toArray();
    return { endBytes: row?.bytes ?? 0, endSampled: row?.spans ?? 0 };
  }

  #segment(where: string, ...bindings: SqlStorageValue[]): Segment | undefined {
    const query = `SELECT id, spans, body FROM trace_segments ${where}`;
    const [row] = this.#sql.exec<{ id: number; spans: number; body: ArrayBuffer }>(query, ...bindings).toArray();
    return row === undefined ? undefined : { ...row, body: new Uint8Array(row.body) };
  }

  /** Returns the compressed size of all segments, in bytes: where the last one ends, if they were in one file, less where the first begins. */
  bytes(): number {
    const query = "SELECT end_bytes - LENGTH(body) AS begin FROM trace_segments ORDER BY id LIMIT 1";
    const [first] = this.#sql.exec<{ begin: number }>(query).toArray();
    return first === undefined ? 0 : this.#last().endBytes - first.begin;
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
    this.#state.head = undefined;
    const body = new Uint8Array(row.body);
    const facts = bodiesOf(unpack(body)).flatMap(readStored);
    this.index.remove(row.id, new Set(facts.map(({ traceId }) => traceId)));
    this.links.remove(row.id, facts);
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

  /** Whether the tail holds a span. */
  tailHas(spanId: string): boolean {
    // A row may also have the id in a link to the span.
    const rows = this.#tail("WHERE INSTR(body, ?) > 0", `"spanId":"${spanId}"`);
    return factsOf(rows).some((span) => span.spanId === spanId);
  }

  /** Returns the facts of the spans in the tail. */
  tailFacts(): readonly SpanFacts[] {
    return factsOf(this.#tail());
  }

  /** Returns whether sampled spans of the trace are in the tail; `undefined` if none is. */
  tailHasTrace(traceId: string): { readonly sampled: boolean } | undefined {
    const { sampled } = this.#sql
      .exec<{ sampled: number | null }>(
        "SELECT MAX(sampled) AS sampled FROM trace_tail WHERE INSTR(summaries, ?) > 0",
        traceId,
      )
      .one();
    return sampled === null ? undefined : { sampled: sampled === 1 };
  }

  /** Returns the trace's spans in the tail, by whether they are sampled, and when the last of the tail's spans arrived, epoch ms. */
  tailOf(traceId: string): { readonly sampled: SpanFacts[]; readonly unsampled: SpanFacts[]; readonly lastMs: number } {
    const of = (sampled: number) =>
      factsOf(this.#tail("WHERE sampled = ?", sampled)).filter((span) => span.traceId === traceId);
    const { last } = this.#sql.exec<{ last: number | null }>("SELECT MAX(at_ms) AS last FROM trace_tail").one();
    return { sampled: of(1), unsampled: of(0), lastMs: last ?? 0 };
  }

  /** Returns the tail as one request; `undefined` when it is empty. */
  tailText(): string | undefined {
    const parts = this.#tail();
    return parts.length === 0 ? undefined : requestOf(parts);
  }
}

/** Returns a segment's request as text. */
export function unpack(body: Uint8Array): string {
  return gunzipSync(body).toString("utf8");
}
