/**
 * Which traces the segments of the log hold. Each trace has one row for each segment with spans of it, and one row by its start,
 * for the list. The newest of its rows has the totals over all of its segments, so that a list reads one row a trace.
 *
 * Every call is synchronous and may run inside a caller's transaction.
 */
import { mergeSummaries, type TraceSummary } from "./trace-summary.ts";

/** A position in the list of traces, which is sorted newest first. */
export interface TracePosition {
  readonly startUs: number;
  readonly traceId: string;
}

/** The spans of a trace in one segment. */
export interface StoredSkeleton {
  readonly segmentId: number;
  /** JSON of a `SkeletonChunk`; `undefined` for a segment of an earlier version. */
  readonly chunk: string | undefined;
}

/** The spans of a trace in one segment, and what is known of that. */
export interface StoredPart extends StoredSkeleton {
  readonly isSampled: boolean;
  /** Epoch ms. */
  readonly closedMs: number;
}

/** A row of the newest segment of a trace. */
interface NewestRow {
  readonly segmentId: number;
  readonly total: TraceSummary;
}

/** Sorts newest first. Traces that began at the same time are sorted by id, the last one first. */
export function compareTraces(a: TracePosition, b: TracePosition): number {
  return b.startUs - a.startUs || (a.traceId < b.traceId ? 1 : -Number(a.traceId > b.traceId));
}

export class TraceIndex {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /**
   * Adds a segment.
   * @param spans how many spans it holds
   * @param summaries one for each trace in it
   * @param skeletons its spans of each trace, as JSON of a `SkeletonChunk`; without them, readers read the segment
   */
  add(
    segmentId: number,
    spans: number,
    summaries: readonly TraceSummary[],
    skeletons: ReadonlyMap<string, string> = new Map(),
  ): void {
    for (const summary of summaries) {
      const known = this.#newest(summary.traceId)?.total;
      const [total = summary] = mergeSummaries([known === undefined ? [] : [known], [summary]]);
      this.#sql.exec(
        `INSERT INTO trace_index (trace_id, segment_id, spans, errors, is_whole, total, skeleton)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        summary.traceId,
        segmentId,
        summary.spans,
        summary.errors,
        Number(summary.spans === spans),
        JSON.stringify(total),
        skeletons.get(summary.traceId) ?? null,
      );
      if (known?.startUs === total.startUs) continue;
      if (known !== undefined) this.#removeStart(known);
      this.#sql.exec("INSERT INTO trace_starts (start_us, trace_id) VALUES (?, ?)", total.startUs, total.traceId);
    }
  }

  /**
   * Removes a segment. Its spans no longer count; the start and the name of a trace that has others stay.
   * @param traceIds the traces with spans in it
   */
  remove(segmentId: number, traceIds: Iterable<string>): void {
    const rows = this.#sql.exec<{ spans: number; errors: number; total: string }>(
      `DELETE FROM trace_index WHERE segment_id = ? AND trace_id IN (SELECT value FROM json_each(?))
       RETURNING spans, errors, total`,
      segmentId,
      JSON.stringify([...traceIds]),
    );
    for (const { spans, errors, total: text } of rows.toArray()) {
      const removed = JSON.parse(text) as TraceSummary;
      const newest = this.#newest(removed.traceId);
      if (newest === undefined) {
        this.#removeStart(removed);
        continue;
      }
      const { total } = newest;
      this.#sql.exec(
        "UPDATE trace_index SET total = ? WHERE trace_id = ? AND segment_id = ?",
        JSON.stringify({ ...total, spans: total.spans - spans, errors: total.errors - errors }),
        total.traceId,
        newest.segmentId,
      );
    }
  }

  #removeStart({ startUs, traceId }: TracePosition): void {
    this.#sql.exec("DELETE FROM trace_starts WHERE start_us = ? AND trace_id = ?", startUs, traceId);
  }

  /** Returns a trace's summary over the segments; `undefined` if they hold none of its spans. */
  summary(traceId: string): TraceSummary | undefined {
    return this.#newest(traceId)?.total;
  }

  /** Returns the first trace whose id is not before `from`; `undefined` if there is none. */
  firstFrom(from: string): TraceSummary | undefined {
    const [row] = this.#sql
      .exec<{ id: string }>(
        "SELECT trace_id AS id FROM trace_index WHERE trace_id >= ? ORDER BY trace_id LIMIT 1",
        from,
      )
      .toArray();
    return row === undefined ? undefined : this.summary(row.id);
  }

  #newest(traceId: string): NewestRow | undefined {
    const [row] = this.#sql
      .exec<{ segment_id: number; total: string }>(
        "SELECT segment_id, total FROM trace_index WHERE trace_id = ? ORDER BY segment_id DESC LIMIT 1",
        traceId,
      )
      .toArray();
    return row === undefined ? undefined : { segmentId: row.segment_id, total: JSON.parse(row.total) as TraceSummary };
  }

  /** Returns the newest traces after position `after`, without those of `except`. */
  newest(limit: number, after: TracePosition | undefined, except: readonly string[]): TraceSummary[] {
    const rows = this.#sql.exec<{ trace_id: string }>(
      `SELECT trace_id FROM trace_starts
       WHERE (start_us, trace_id) < (?, ?) AND trace_id NOT IN (SELECT value FROM json_each(?))
       ORDER BY start_us DESC, trace_id DESC LIMIT ?`,
      after?.startUs ?? Number.MAX_SAFE_INTEGER,
      after?.traceId ?? "",
      JSON.stringify(except),
      limit,
    );
    return rows.toArray().flatMap(({ trace_id: traceId }) => this.summary(traceId) ?? []);
  }

  /** Returns the segments after `segmentId` with spans of the trace, in order, and whether they hold no others. */
  holding(traceId: string, segmentId: number): { readonly id: number; readonly isWhole: boolean }[] {
    const rows = this.#sql.exec<{ id: number; whole: number }>(
      `SELECT segment_id AS id, is_whole AS whole FROM trace_index
       WHERE trace_id = ? AND segment_id > ? ORDER BY segment_id`,
      traceId,
      segmentId,
    );
    return rows.toArray().map(({ id, whole }) => ({ id, isWhole: whole === 1 }));
  }

  /** Returns the last sampled segment with spans of the trace, 0 if there is none; `undefined` if no segment has any. */
  extentOf(traceId: string): { readonly lastSampled: number } | undefined {
    const { last, lastSampled } = this.#sql
      .exec<{ last: number | null; lastSampled: number | null }>(
        `SELECT MAX(segment_id) AS last, MAX(segment_id * sampled) AS lastSampled FROM trace_index
         JOIN trace_segments ON trace_segments.id = segment_id WHERE trace_id = ?`,
        traceId,
      )
      .one();
    return last === null ? undefined : { lastSampled: lastSampled ?? 0 };
  }

  /** Returns the segments with spans of the trace, in order, with their skeletons. */
  segmentsOf(traceId: string): StoredPart[] {
    const rows = this.#sql.exec<{ id: number; sampled: number; closed: number; skeleton: string | null }>(
      `SELECT segment_id AS id, sampled, closed_ms AS closed, skeleton FROM trace_index
       JOIN trace_segments ON trace_segments.id = segment_id WHERE trace_id = ? ORDER BY segment_id`,
      traceId,
    );
    return rows.toArray().map(({ id, sampled, closed, skeleton }) => ({
      segmentId: id,
      chunk: skeleton ?? undefined,
      isSampled: sampled === 1,
      closedMs: closed,
    }));
  }

  /**
   * Returns the skeletons of the trace in the segments after `segmentId`, in order.
   * @param limit the maximum number of segments
   */
  skeletons(traceId: string, segmentId: number, limit: number): StoredSkeleton[] {
    const rows = this.#sql.exec<{ id: number; skeleton: string | null }>(
      `SELECT segment_id AS id, skeleton FROM trace_index
       WHERE trace_id = ? AND segment_id > ? ORDER BY segment_id LIMIT ?`,
      traceId,
      segmentId,
      limit,
    );
    return rows.toArray().map(({ id, skeleton }) => ({ segmentId: id, chunk: skeleton ?? undefined }));
  }
}
