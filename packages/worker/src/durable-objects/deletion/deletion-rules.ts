/** When each step of a deletion is due. Pure. */

/**
 * How long a deletion waits for the broker, other sessions and the capacity object, in ms: the last try to end an orphan comes most
 * of a day after the first (`orphans.ts`).
 */
export const SETTLE_MS = 24 * 60 * 60_000;
/** How long it then waits for the backend, in ms: several tries of an export that fails. */
export const EXPORT_MS = 60_000;

export interface DeletionFacts {
  readonly isTerminated: boolean;
  /** How many calls to the broker and to other objects are not acknowledged. */
  readonly unfinishedCalls: number;
  /** How many turns D1 lacks, which outlive the session. */
  readonly waitingTurns: number;
  /** How many sampled spans the backend has not taken. */
  readonly waitingSpans: number;
  readonly sinceMs: number;
  /** When everything had ended; `undefined` before. */
  readonly endedMs: number | undefined;
}

/**
 * What a deletion does next. `wait`: for the end of the sandbox and of what waits, or for the backend. `close`: everything has ended;
 * the last facts are recorded, and the export begins. `erase`: the tombstone is written, and then everything is removed.
 */
export type DeletionStep = "wait" | "close" | "erase";

export function nextStep(facts: DeletionFacts, nowMs: number): DeletionStep {
  const { isTerminated, unfinishedCalls, waitingTurns, waitingSpans, sinceMs, endedMs } = facts;
  if (!isTerminated || waitingTurns > 0) return "wait";
  if (endedMs === undefined) return unfinishedCalls > 0 && nowMs - sinceMs < SETTLE_MS ? "wait" : "close";
  return waitingSpans > 0 && nowMs - endedMs < EXPORT_MS ? "wait" : "erase";
}

const SHORTEST_LOOK_MS = 500;
const LONGEST_LOOK_MS = 60_000;

/** Returns when a deletion looks again, although nothing has happened: the longer it has taken, the more rarely. */
export function nextLookMs({ sinceMs, endedMs }: Pick<DeletionFacts, "sinceMs" | "endedMs">, nowMs: number): number {
  const elapsedMs = Math.max(0, nowMs - (endedMs ?? sinceMs));
  return nowMs + Math.min(LONGEST_LOOK_MS, Math.max(SHORTEST_LOOK_MS, elapsedMs / 4));
}
