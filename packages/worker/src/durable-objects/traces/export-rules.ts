/** Where a session's export stands, and what an answer of the backend makes of that. Pure; times are epoch milliseconds. */
import { backoffMs, type SendResult } from "@valet/shared/tracing";

/** What is kept between two attempts, in one row. */
export interface ExportState {
  /** The last segment that is settled: delivered, or refused and counted. */
  readonly segment_id: number;
  /** Attempts since the last delivery, the last stop, or the last word of a person. */
  readonly attempts: number;
  readonly not_before_ms: number;
  /** The segment that `part_spans` and `settled_spans` are about. */
  readonly part_of: number;
  /** Spans of it in one POST at the most since the backend found it too large; 0: all of them. */
  readonly part_spans: number;
  /** Of its spans, the first so many are settled. */
  readonly settled_spans: number;
  /** When the first attempt failed that no delivery has followed. */
  readonly failing_since_ms: number | null;
  /** Likewise, but begun anew by a new span after a stop and by a person's word. */
  readonly trying_since_ms: number | null;
  /** The newest segment there was when the export stopped by itself; a newer one starts it again. */
  readonly stopped_at: number | null;
  /** Of the last failure: a code, and the HTTP status if there was one. */
  readonly reason: string;
  readonly status: number | null;
}

/** What was sent: a segment, or a part of one. */
export interface SentPart {
  readonly segmentId: number;
  readonly spans: number;
  /** Whether the segment has no spans after these. */
  readonly isLast: boolean;
}

export interface Settled {
  readonly state: ExportState;
  /** How long until the next attempt; absent where the part is settled, or where the export has stopped. */
  readonly retryInMs?: number;
  /** Why the part's spans are lost. */
  readonly lost?: "not_retryable" | "too_large";
}

const HOUR_MS = 3_600_000;
/** What fails is tried for so long; then the session stops by itself, until something gives a reason to go on. */
export const STOP_AFTER_MS = 24 * HOUR_MS;
/** The longest wait for what only a person can change: nobody waits by the second for that. */
const LONGEST_HOLD_MS = HOUR_MS;
/** However soon a backend asks to be tried again. */
const SHORTEST_DELAY_MS = 500;
/** HTTP "Content Too Large". */
const TOO_LARGE = 413;

export const FIRST_STATE: ExportState = {
  ...{ segment_id: 0, attempts: 0, not_before_ms: 0, part_of: 0, part_spans: 0, settled_spans: 0 },
  ...{ failing_since_ms: null, trying_since_ms: null, stopped_at: null, reason: "", status: null },
};

/** What changes when there is a reason to try again now: a person's word, another endpoint, a new span after a stop. */
export const TRY_AGAIN = { attempts: 0, not_before_ms: 0, trying_since_ms: null, stopped_at: null } as const;

/** What is over when the backend has taken something. */
const WELL = { ...TRY_AGAIN, failing_since_ms: null, reason: "", status: null } as const;

/**
 * @param newestSegment that is to be sent
 * @param random 0 to 1
 */
export function settle(
  state: ExportState,
  part: SentPart,
  result: SendResult,
  { nowMs, newestSegment, random }: { readonly nowMs: number; readonly newestSegment: number; readonly random: number },
): Settled {
  if (result.outcome === "delivered") return { state: { ...state, ...WELL, ...passed(state, part) } };
  const { reason, status = null } = result;
  if (status === TOO_LARGE && part.spans > 1) {
    const settled = state.part_of === part.segmentId ? state.settled_spans : 0;
    const halved = { part_of: part.segmentId, part_spans: part.spans >> 1, settled_spans: settled };
    return { state: { ...state, ...halved, not_before_ms: 0 }, retryInMs: 0 };
  }
  const failing = { failing_since_ms: state.failing_since_ms ?? nowMs, reason, status };
  if (result.outcome === "refused") {
    // Nothing is tried again: what the backend says of the next segment may be something else.
    const lost = status === TOO_LARGE ? "too_large" : "not_retryable";
    return { state: { ...state, ...TRY_AGAIN, ...failing, ...passed(state, part) }, lost };
  }
  const tryingSinceMs = state.trying_since_ms ?? nowMs;
  if (nowMs - tryingSinceMs >= STOP_AFTER_MS) {
    return { state: { ...state, ...TRY_AGAIN, ...failing, stopped_at: newestSegment } };
  }
  const attempts = state.attempts + 1;
  const delayMs =
    result.outcome === "held"
      ? backoffMs(attempts, random, LONGEST_HOLD_MS)
      : Math.max(result.retryAfterMs ?? backoffMs(attempts, random), SHORTEST_DELAY_MS);
  const retryInMs = Math.ceil(delayMs);
  const next = { attempts, not_before_ms: nowMs + retryInMs, trying_since_ms: tryingSinceMs };
  return { state: { ...state, ...failing, ...next }, retryInMs };
}

/** The part is settled. Each segment is tried whole first. */
function passed(state: ExportState, { segmentId, spans, isLast }: SentPart): Partial<ExportState> {
  const isInParts = state.part_of === segmentId;
  if (isLast) return { segment_id: segmentId, part_of: 0, part_spans: 0, settled_spans: 0 };
  return { part_of: segmentId, settled_spans: (isInParts ? state.settled_spans : 0) + spans };
}
