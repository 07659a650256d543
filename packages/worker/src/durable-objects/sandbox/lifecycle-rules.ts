/** Decides what a sandbox that was lost, that did not start or that could not be put to sleep leads to. Pure. */
import type { SandboxStage } from "@valet/shared/spans";
import type { RecoveryRecord, StartDetails, StartError, StartFailures } from "../core/session-state.ts";

/** The row with one more start. */
export function addFailure(
  before: StartFailures | undefined,
  errorType: StartError,
  stage: SandboxStage | undefined,
  details: StartDetails = {},
): StartFailures {
  return before === undefined ? { errorType, stage, ...details, count: 1 } : { ...before, count: before.count + 1 };
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

/** How often the broker is asked for a sandbox that starts, as long as its runner is not heard. In ms. */
export const START_CHECK_MS = 5_000;
