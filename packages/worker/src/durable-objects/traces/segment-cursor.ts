/**
 * Cursors into the segments of a session's spans. Each belongs to one list of one session, since a page after a foreign one would
 * lack spans and still look complete. Pure.
 */
import { encodeCursor, parseCursor } from "../core/cursor.ts";

/** What is read in pages: all spans of a session, one trace in one of three ways, or the links to one. */
export interface SegmentList {
  readonly sessionId: string;
  readonly what: "spans" | "trace" | "skeleton" | "search" | "backlinks";
  /** Absent for all spans. */
  readonly traceId?: string | undefined;
}

/** Returns the cursor after a segment. */
export function segmentCursor(list: SegmentList, segmentId: number): string {
  return encodeCursor([nameOf(list), String(segmentId)]);
}

/** Returns the segment after which a page continues, 0 for the first page; `undefined` for a cursor that is not of this list. */
export function segmentAfter(list: SegmentList, cursor: string | undefined): number | undefined {
  if (cursor === undefined) return 0;
  const [name, text = ""] = parseCursor(cursor, 2) ?? [];
  const segmentId = Number(text);
  return name === nameOf(list) && /^\d+$/.test(text) && Number.isSafeInteger(segmentId) ? segmentId : undefined;
}

function nameOf({ sessionId, what, traceId = "" }: SegmentList): string {
  return `${what} ${sessionId} ${traceId}`;
}
