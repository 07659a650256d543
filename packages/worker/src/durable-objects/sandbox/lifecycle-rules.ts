/** Decides what follows when a sandbox was lost, did not start, or could not hibernate. Pure. */
import type { RecoveryRecord, StartFailures } from "../core/session-state.ts";

/**
 * Returns the row of failed starts with one more. The first failure stays the cause, unless it was the broker's absence and this one
 * is not: then the broker was back, so its absence was over and this failure is no symptom of it.
 */
export function addFailure(
  before: StartFailures | undefined,
  { lack, ...failure }: Omit<StartFailures, "count" | "isBrokerAway"> & { readonly lack: SandboxLack },
): StartFailures {
  const isBrokerAway = lack === "broker_away";
  const count = (before?.count ?? 0) + 1;
  if (before !== undefined && (isBrokerAway || before.isBrokerAway !== true)) return { ...before, count };
  return { ...failure, ...(isBrokerAway && { isBrokerAway }), count };
}

export interface RecoveryRules {
  readonly maxAttempts: number;
  /** The wait before the first attempt, in ms; it doubles with each further one. Only a lost sandbox is replaced without a wait. */
  readonly backoffMs: number;
  /** After a sandbox was ready for this long, in ms, its loss is a new one: all attempts are available again. */
  readonly heldMs: number;
}

/**
 * Why a session has no sandbox: it was lost, its start failed, or the broker was away (it could not be reached, did not answer in
 * time, or was shutting down) when a sandbox was to be started.
 */
export type SandboxLack = "lost" | "start_failed" | "broker_away";

/**
 * Returns the next attempt to start a sandbox, and the delay before it in ms; `undefined` to give up. A session whose runner was
 * never ready has nothing to recover: its start is retried only while the broker is away, since anything else would fail again.
 */
export function nextRecovery(
  { attempts, readyMs }: RecoveryRecord,
  rules: RecoveryRules,
  nowMs: number,
  lack: SandboxLack,
): { readonly attempt: number; readonly delayMs: number } | undefined {
  if (readyMs === 0 && lack !== "broker_away") return undefined;
  const lost = lack === "lost";
  const before = lost && nowMs - readyMs >= rules.heldMs ? 0 : attempts;
  if (before >= rules.maxAttempts) return undefined;
  return { attempt: before + 1, delayMs: lost ? 0 : rules.backoffMs * 2 ** before };
}

const FIRST_SLEEP_RETRY_MS = 60_000;
const LONGEST_SLEEP_RETRY_MS = 60 * 60_000;

/** Returns the wait before a hibernate without a snapshot is retried, in ms. @param failures how many failed in a row */
export function sleepRetryMs(failures: number): number {
  return Math.min(FIRST_SLEEP_RETRY_MS * 2 ** (failures - 1), LONGEST_SLEEP_RETRY_MS);
}

/** The interval at which the object asks the broker for a sandbox that starts, until its runner connects. In ms. */
export const START_CHECK_MS = 5_000;
