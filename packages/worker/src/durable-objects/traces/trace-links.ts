/**
 * Which spans of the log link to which traces: one row for each trace that spans of a segment link to. It is written with the segment,
 * in its transaction. Few spans have links, so a segment costs a few rows at most.
 *
 * Segments of versions without this index are added by readers, a bounded number at a time: {@link TraceLinks.fill}.
 *
 * Every call is synchronous and runs inside a caller's transaction.
 */
import { head } from "@valet/shared/text";
import type { SpanFacts } from "./otlp-request.ts";

/** A span that links to spans of one trace. */
export interface LinkingSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly name: string;
  /** Microseconds since 1970. */
  readonly startUs: number;
  readonly links: readonly { readonly spanId: string; readonly type?: string | undefined }[];
}

/** The spans of one segment that link to a trace. */
export interface StoredLinks {
  readonly segmentId: number;
  /** JSON of a list of {@link LinkingSpan}. */
  readonly spans: string;
}

type LinkFacts = Pick<SpanFacts, "traceId" | "spanId" | "name" | "startUs" | "links">;

/** How many segments one call of {@link TraceLinks.fill} reads: some 10,000 spans. */
const FILL_STEP = 50;
/** The maximum length of a name, in characters. */
const MAX_NAME_LENGTH = 200;

export class TraceLinks {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Adds the links of a segment's spans. */
  add(segmentId: number, spans: readonly LinkFacts[]): void {
    for (const targetId of targetsOf(spans)) {
      this.#sql.exec(
        "INSERT INTO trace_links (target_id, segment_id, spans) VALUES (?, ?, ?)",
        targetId,
        segmentId,
        JSON.stringify(linksTo(targetId, spans)),
      );
    }
  }

  /** Removes a segment. @param spans those that it holds */
  remove(segmentId: number, spans: readonly LinkFacts[]): void {
    this.#sql.exec(
      "DELETE FROM trace_links WHERE segment_id = ? AND target_id IN (SELECT value FROM json_each(?))",
      segmentId,
      JSON.stringify([...targetsOf(spans)]),
    );
  }

  /**
   * Returns which spans link to a trace, by their segments in order.
   * @param after only segments after this one
   * @param upTo the last segment
   * @param limit the maximum number of segments
   */
  of(targetId: string, after: number, upTo: number, limit: number): StoredLinks[] {
    const rows = this.#sql.exec<{ id: number; spans: string }>(
      `SELECT segment_id AS id, spans FROM trace_links
       WHERE target_id = ? AND segment_id > ? AND segment_id <= ? ORDER BY segment_id LIMIT ?`,
      targetId,
      after,
      upTo,
      limit,
    );
    return rows.toArray().map(({ id, spans }) => ({ segmentId: id, spans }));
  }

  /**
   * Adds the next segments of versions without the index.
   * @param next returns the segment after the one with this id
   * @returns the last segment up to which the index is complete; `undefined` if it is complete
   */
  fill(next: (segmentId: number) => { id: number; spans: () => readonly LinkFacts[] } | undefined): number | undefined {
    const [fill] = this.#sql
      .exec<{ after: number; up_to: number }>("SELECT after, up_to FROM trace_links_fill")
      .toArray();
    if (fill === undefined) return undefined;
    let { after } = fill;
    for (let step = 0; step < FILL_STEP; step++) {
      const segment = next(after);
      if (segment === undefined || segment.id > fill.up_to) {
        this.#sql.exec("DELETE FROM trace_links_fill");
        return undefined;
      }
      this.add(segment.id, segment.spans());
      after = segment.id;
    }
    this.#sql.exec("UPDATE trace_links_fill SET after = ?", after);
    return after;
  }
}

/** Returns those of the spans that link to a trace, with these links only. */
export function linksTo(targetId: string, spans: readonly LinkFacts[]): LinkingSpan[] {
  return spans.flatMap(({ traceId, spanId, name, startUs, links }) => {
    const found = links.filter((link) => link.traceId === targetId);
    if (found.length === 0) return [];
    const toTarget = found.map((link) => ({ spanId: link.spanId, type: link.type }));
    return [{ traceId, spanId, name: head(name, MAX_NAME_LENGTH), startUs, links: toTarget }];
  });
}

function targetsOf(spans: readonly LinkFacts[]): Set<string> {
  return new Set(spans.flatMap(({ links }) => links.map(({ traceId }) => traceId)));
}
