/** When a failed hibernate is tried again. Pure. */
import type { SessionRecord, SleepProblem } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import { sleepRetryMs } from "./lifecycle-rules.ts";
import type { SessionWork } from "./ports.ts";

type DueTimers = Pick<Timers, "dueMs">;

/**
 * Returns whether the session has worked since its hibernate failed and its idle timeout is still to come: then that timeout hibernates
 * it, and not the retry.
 */
export function isInUse({ retryMs, failures }: SleepProblem, work: SessionWork, timers: DueTimers): boolean {
  const failedMs = retryMs - sleepRetryMs(failures);
  return (work.lastEndMs ?? 0) > failedMs && timers.dueMs("idle") !== undefined;
}

/**
 * Returns when a failed hibernate is tried again, epoch ms; `undefined` if no time is set: it is being tried now, or work comes before
 * it, after which the idle timeout runs.
 */
export function nextSleepTryMs(
  { link, sleepProblem }: Pick<SessionRecord, "link" | "sleepProblem">,
  work: SessionWork,
  timers: DueTimers,
): number | undefined {
  if (sleepProblem === undefined) return undefined;
  // Without a runner the object asks the broker about the sandbox, and takes the snapshot after its answer.
  if (link.state === "gone") return timers.dueMs("check");
  if (work.hasWork || work.isBusy) return undefined;
  const [sleepMs, idleMs] = [timers.dueMs("sleep"), timers.dueMs("idle")];
  return isInUse(sleepProblem, work, timers) && idleMs !== undefined ? Math.max(idleMs, sleepMs ?? 0) : sleepMs;
}
