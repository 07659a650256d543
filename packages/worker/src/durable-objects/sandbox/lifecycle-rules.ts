/**
 * The life of a session: which states there are, what leads from one to the next, and what a sandbox that was lost or did
 * not start leads to. Pure: whoever makes a transition stores it together with the span that tells of it.
 */
import type { Failure } from "@valet/shared/protocol/failure";
import type { SessionStatus } from "@valet/shared/protocol/session-view";
import type { EndedBy, FailureType, SandboxStage } from "@valet/shared/spans";

export type SessionEvent =
  | "spawn"
  | "restore"
  | "ready"
  | "sandbox_lost"
  | "start_failed"
  | "give_up"
  | "hibernate"
  | "stay_awake"
  | "rescue"
  | "hibernated"
  | "terminate"
  | "terminated";

const TRANSITIONS: Record<SessionEvent, { readonly from: readonly SessionStatus[]; readonly to: SessionStatus }> = {
  spawn: { from: ["created", "recovering", "error"], to: "starting" },
  restore: { from: ["hibernated", "recovering", "error"], to: "restoring" },
  ready: { from: ["starting", "restoring"], to: "running" },
  sandbox_lost: { from: ["running"], to: "recovering" },
  start_failed: { from: ["starting", "restoring"], to: "recovering" },
  give_up: { from: ["starting", "restoring", "recovering"], to: "error" },
  hibernate: { from: ["running"], to: "hibernating" },
  stay_awake: { from: ["hibernating"], to: "running" },
  hibernated: { from: ["hibernating"], to: "hibernated" },
  rescue: { from: ["error"], to: "recovering" },
  terminate: {
    from: ["created", "starting", "running", "hibernating", "hibernated", "restoring", "recovering", "error"],
    to: "terminating",
  },
  terminated: { from: ["terminating"], to: "terminated" },
};

/** The state that an event leads to; `undefined` where it is not legal. */
export function transition(state: SessionStatus, event: SessionEvent): SessionStatus | undefined {
  const { from, to } = TRANSITIONS[event];
  return from.includes(state) ? to : undefined;
}

/** How often the session has tried to get its sandbox back. */
export interface RecoveryRecord {
  /** Attempts since it last held. */
  readonly attempts: number;
  /** When a runner was last ready; 0 if never. Epoch ms. */
  readonly readyMs: number;
  /** Starts that failed one after the other; absent as long as the last one came to its end. */
  readonly failures?: StartFailures | undefined;
}

/** What a start fails with. */
export type StartError = Extract<EndedBy<"start">, FailureType> | "_OTHER";

/** A row of starts that failed. The first one is the cause of all that follows, whatever the later ones fail with. */
export interface StartFailures {
  readonly errorType: StartError;
  /** How far the first one had come. */
  readonly stage: SandboxStage | undefined;
  /** What its runner wrote last, where the broker told. */
  readonly logLine?: string | undefined;
  readonly count: number;
}

/** The row with one more start. */
export function addFailure(
  before: StartFailures | undefined,
  errorType: StartError,
  stage: SandboxStage | undefined,
  logLine?: string,
): StartFailures {
  return before === undefined ? { errorType, stage, logLine, count: 1 } : { ...before, count: before.count + 1 };
}

/** What is known of why there is no sandbox. */
export function failureOf({ stage, logLine, count }: Omit<StartFailures, "errorType">): Failure {
  return { ...(stage !== undefined && { stage }), ...(logLine !== undefined && { logLine }), attempts: count };
}

export interface RecoveryRules {
  readonly maxAttempts: number;
  /** After the first start that failed; it doubles. A sandbox that was lost is replaced at once. */
  readonly backoffMs: number;
  /** A sandbox that was ready for this long held: what comes later is a new loss and has all attempts again. */
  readonly heldMs: number;
}

/**
 * What follows a sandbox that was lost, or that did not start: the next attempt and the wait before it, or `undefined` to
 * give up. A session whose runner was never ready has nothing to recover, so its first failure is its last.
 */
export function nextRecovery(
  { attempts, readyMs }: RecoveryRecord,
  rules: RecoveryRules,
  nowMs: number,
  lost: boolean,
): { readonly attempt: number; readonly delayMs: number } | undefined {
  if (readyMs === 0) return undefined;
  const before = lost && nowMs - readyMs >= rules.heldMs ? 0 : attempts;
  if (before >= rules.maxAttempts) return undefined;
  return { attempt: before + 1, delayMs: lost ? 0 : rules.backoffMs * 2 ** before };
}

const FIRST_SLEEP_RETRY_MS = 60_000;
const LONGEST_SLEEP_RETRY_MS = 60 * 60_000;

/** The wait before a hibernate that found no snapshot is tried again, after so many failures in a row. In ms. */
export function sleepRetryMs(failures: number): number {
  return Math.min(FIRST_SLEEP_RETRY_MS * 2 ** (failures - 1), LONGEST_SLEEP_RETRY_MS);
}
