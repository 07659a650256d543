/** Notices that no workerd runs although one should. */
import { setTimeout as sleep } from "node:timers/promises";

/** How long Miniflare may take to start a process, also on a busy machine. */
const ABSENT_MS = 8_000;
/** Each check reads the environment of every process. */
const CHECK_MS = 1_000;

/**
 * Waits until no workerd has run for a while. If workerd is killed before it has read its configuration, Miniflare waits forever: for the
 * end of its own write, which never comes, since Node closes the pipe of a dead process.
 * @param isRunning whether a workerd runs, or is being started
 * @param signal ends the wait
 * @returns whether none has run; `false` after the signal
 */
export async function isAbsent(isRunning: () => boolean, signal: AbortSignal, absentMs = ABSENT_MS): Promise<boolean> {
  let seenMs = performance.now();
  while (performance.now() - seenMs < absentMs) {
    await sleep(Math.min(CHECK_MS, absentMs), undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return false;
    if (isRunning()) seenMs = performance.now();
  }
  return true;
}
