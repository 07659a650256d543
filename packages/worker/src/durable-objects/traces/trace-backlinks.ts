/** Finds the spans of a session that link to one of its traces: in segments by their index, in the tail, and open ones. */
import type { Backlink, BacklinkList } from "@valet/shared/protocol/session-api";
import { isoTime } from "../core/iso-time.ts";
import { PAGE_BYTES } from "../core/page-bytes.ts";
import { readStored } from "./otlp-request.ts";
import { segmentCursor } from "./segment-cursor.ts";
import { openFactsOf } from "./span-facts.ts";
import { type LinkingSpan, linksTo } from "./trace-links.ts";
import type { TraceOpenSpans } from "./trace-open-spans.ts";
import type { TraceSegments } from "./trace-segments.ts";
import { bodiesOf } from "./trace-text.ts";

/** The maximum number of segments in a page. */
const PAGE = 200;

export class TraceBacklinks {
  readonly #segments: TraceSegments;
  readonly #open: TraceOpenSpans;
  readonly #sessionId: string;

  constructor(segments: TraceSegments, open: TraceOpenSpans, sessionId: string) {
    this.#segments = segments;
    this.#open = open;
    this.#sessionId = sessionId;
  }

  /**
   * Returns a page of the links to a trace, those that were stored first first. In a database of a version without the index of links,
   * it adds some more segments to that: such a page ends with the last of them. Runs inside a transaction.
   * @param after the last segment of the previous page
   */
  read(traceId: string, after = 0): BacklinkList {
    const indexedTo = this.#segments.links.fill((segmentId) => this.#segmentAfter(segmentId));
    const upTo = indexedTo ?? Number.MAX_SAFE_INTEGER;
    const backlinks: Backlink[] = [];
    let last = after;
    let bytes = 0;
    const rows = this.#segments.links.of(traceId, after, upTo, PAGE);
    for (const { segmentId, spans } of rows) {
      if (bytes >= PAGE_BYTES) return { backlinks, nextCursor: this.#cursor(traceId, last) };
      backlinks.push(...viewsOf(JSON.parse(spans) as LinkingSpan[]));
      bytes += spans.length;
      last = segmentId;
    }
    if (rows.length === PAGE) return { backlinks, nextCursor: this.#cursor(traceId, last) };
    if (indexedTo !== undefined) return { backlinks, nextCursor: this.#cursor(traceId, Math.max(indexedTo, after)) };
    const open = this.#open.all().map((span) => ({ traceId: span.context.traceId, ...openFactsOf(span) }));
    backlinks.push(...viewsOf(linksTo(traceId, [...this.#segments.tailFacts(), ...open])));
    return { backlinks };
  }

  #segmentAfter(segmentId: number) {
    const next = this.#segments.textAfter(segmentId);
    return next && { id: next.id, spans: () => bodiesOf(next.text).flatMap(readStored) };
  }

  #cursor(traceId: string, segmentId: number): string {
    return segmentCursor({ sessionId: this.#sessionId, what: "backlinks", traceId }, segmentId);
  }
}

function viewsOf(spans: readonly LinkingSpan[]): Backlink[] {
  return spans.flatMap(({ traceId, spanId, name, startUs, links }) =>
    links.map((link) => ({
      traceId,
      spanId,
      name,
      startedAt: isoTime(startUs / 1000),
      targetSpanId: link.spanId,
      ...(link.type !== undefined && { type: link.type }),
    })),
  );
}
