/** The skeletons of traces: the spans that segments hold as stored chunks, and all that may still change as the last chunk. */
import { createHash } from "node:crypto";
import type { SkeletonChunk } from "@valet/shared/protocol/trace-skeleton";
import { readStored } from "./otlp-request.ts";
import { segmentCursor } from "./segment-cursor.ts";
import { toChunk } from "./skeleton-chunks.ts";
import { openFactsOf } from "./span-facts.ts";
import type { TraceOpenSpans } from "./trace-open-spans.ts";
import type { TraceSegments } from "./trace-segments.ts";
import { bodiesOf } from "./trace-text.ts";

export interface ReadSkeleton {
  /** JSON of a `TraceSkeleton`. */
  readonly text: string;
  /** For the header `ETag`: changes whenever the text does. */
  readonly etag: string;
}

/** The maximum number of segments in a page: some 200,000 spans, and 5 MB. */
const PAGE = 1000;

export class TraceSkeletons {
  readonly #segments: TraceSegments;
  readonly #open: TraceOpenSpans;
  readonly #sessionId: string;

  constructor(segments: TraceSegments, open: TraceOpenSpans, sessionId: string) {
    this.#sessionId = sessionId;
    this.#segments = segments;
    this.#open = open;
  }

  /**
   * Returns a page of a trace's skeleton; `undefined` for an unknown trace.
   * @param after the last segment that the reader has
   */
  read(traceId: string, after = 0): ReadSkeleton | undefined {
    const stored = this.#segments.index.skeletons(traceId, after, PAGE);
    const isComplete = stored.length < PAGE;
    const chunks = stored.map(({ segmentId, chunk }) => chunk ?? this.chunkOf(segmentId, traceId));
    const live = isComplete ? this.#live(traceId) : undefined;
    if (live !== undefined) chunks.push(live);
    if (after === 0 && chunks.length === 0) return undefined;
    const list = { sessionId: this.#sessionId, what: "skeleton", traceId } as const;
    const next = segmentCursor(list, stored.at(-1)?.segmentId ?? after);
    const text = `{"chunks":[${chunks.join(",")}],"next":${JSON.stringify(next)},"isComplete":${isComplete}}`;
    // Chunks of segments never change, and are only deleted from the oldest on.
    const version = [stored[0]?.segmentId, stored.length, next, isComplete, live].join(" ");
    return { text, etag: `"${createHash("sha256").update(version).digest("base64url").slice(0, 22)}"` };
  }

  /**
   * Returns the segments that may hold a span, in order.
   * @param spanId 16 hexadecimal digits
   */
  segmentsOf(traceId: string, spanId: string): number[] {
    const id = Buffer.from(spanId, "hex");
    return this.#segments.index.skeletons(traceId, 0, Number.MAX_SAFE_INTEGER).flatMap(({ segmentId, chunk }) => {
      const mayHold = chunk === undefined || holds(Buffer.from(idsOf(chunk), "base64"), id);
      return mayHold ? [segmentId] : [];
    });
  }

  /** Returns the chunk of what is not in a segment yet, the ended spans of the tail and open ones; `undefined` if there are none. */
  #live(traceId: string): string | undefined {
    const open = this.#open.ofTrace(traceId).map(({ span }) => openFactsOf(span));
    const ended = this.#segments.tailFacts().filter((span) => span.traceId === traceId);
    const spans = [...ended, ...open];
    return spans.length === 0 ? undefined : toChunk(spans);
  }

  /** Returns the chunk of a trace in a segment that was stored without one. */
  chunkOf(segmentId: number, traceId: string): string {
    const text = this.#segments.text(segmentId);
    const spans = text === undefined ? [] : bodiesOf(text).flatMap(readStored);
    return toChunk(spans.filter((span) => span.traceId === traceId));
  }
}

/** The chunk's first field, without parsing the rest. */
function idsOf(chunk: string): string {
  return /^\{"ids":"([^"]*)"/.exec(chunk)?.[1] ?? (JSON.parse(chunk) as SkeletonChunk).ids;
}

/** Returns whether one of the ids, of 8 bytes each, is this one. */
function holds(ids: Buffer, id: Buffer): boolean {
  for (let at = ids.indexOf(id); at >= 0; at = ids.indexOf(id, at + 1)) if (at % id.length === 0) return true;
  return false;
}
