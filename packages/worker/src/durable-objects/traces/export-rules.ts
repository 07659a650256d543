/** The state of a session's export, and how an answer of the backend changes it. Pure; times are epoch milliseconds. */
import { backoffMs, type SendResult } from "@valet/shared/tracing";

/** The stored state between two attempts, in one row. */
export interface ExportState {
  /** The last settled segment: delivered, refused and counted, or not sampled. */
  readonly segment_id: number;
  /** Attempts since the last delivery, the last stop, or the last `resend`. */
  readonly attempts: number;
  readonly not_before_ms: number;
  /** The segment that `part_spans` and `settled_spans` refer to. */
  readonly part_of: number;
  /** The maximum number of its spans in one POST, after the backend found it too large; 0: all of them. */
  readonly part_spans: number;
  /** How many of its spans, from the first on, are settled. */
  readonly settled_spans: number;
  /** Time of the first failure since the last delivery. */
  readonly failing_since_ms: number | null;
  /** The same, but reset by a new span after a stop and by a `resend`. */
  readonly trying_since_ms: number | null;
  /** The newest segment when the export stopped by itself; a newer one starts it again. */
  readonly stopped_at: number | null;
  /** The reason of the last failure: a code, and the HTTP status if there was one. */
  readonly reason: string;
  readonly status: number | null;
}

/** What was sent: a segment or a part of it. */
export interface SentPart {
  readonly segmentId: number;
  readonly spans: number;
  /** Whether these are the segment's last spans. */
  readonly isLast: boolean;
}

export interface Settled {
  readonly state: ExportState;
  /** The delay before the next attempt; absent when the part is settled, or when the export has stopped. */
  readonly retryInMs?: number;
  /** Why the part's spans are lost. */
  readonly lost?: "not_retryable" | "too_large";
}

const HOUR_MS = 3_600_000;
/** How long a failing export is retried before it stops by itself, until there is a reason to continue. */
export const STOP_AFTER_MS = 24 * HOUR_MS;
/** The longest delay when only a person can fix the problem; for that case, seconds do not matter. */
const LONGEST_HOLD_MS = HOUR_MS;
/** The shortest delay, even if the backend asks for a shorter one. */
const SHORTEST_DELAY_MS = 500;
/** HTTP "Content Too Large". */
const TOO_LARGE = 413;

export const FIRST_STATE: ExportState = {
  segment_id: 0,
  attempts: 0,
  not_before_ms: 0,
  part_of: 0,
  part_spans: 0,
  settled_spans: 0,
  failing_since_ms: null,
  trying_since_ms: null,
  stopped_at: null,
  reason: "",
  status: null,
};

/** The changes when there is a reason to retry now: a `resend`, another endpoint, a new span after a stop. */
export const TRY_AGAIN = { attempts: 0, not_before_ms: 0, trying_since_ms: null, stopped_at: null } as const;

/** The changes when the backend has accepted a part. */
const WELL = { ...TRY_AGAIN, failing_since_ms: null, reason: "", status: null } as const;

/**
 * Returns the changes that an answer of the backend makes to the state.
 * @param newestSegment the newest segment
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
    // The part is not retried, since the backend refused its content; the next one may be accepted.
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

/** Marks a part as settled. The next segment is tried in one piece first. */
function passed(state: ExportState, { segmentId, spans, isLast }: SentPart): Partial<ExportState> {
  const isInParts = state.part_of === segmentId;
  if (isLast) return { segment_id: segmentId, part_of: 0, part_spans: 0, settled_spans: 0 };
  return { part_of: segmentId, settled_spans: (isInParts ? state.settled_spans : 0) + spans };
}
