/** What OpenCode's tools started and it did not end itself: when it was killed, say. */
import { listProcessIds, readEnvironment } from "./proc-files.ts";

/**
 * Kills every process that was started with this variable in its environment, which all that OpenCode starts inherits. They
 * lead sessions of their own, so that no signal to a group reaches them. Only Linux tells of environments; elsewhere
 * nothing is done.
 */
export function killOrphans(variable: string, value: string): void {
  const marker = `\0${variable}=${value}\0`;
  for (const pid of listProcessIds()) {
    if (pid === process.pid || !readEnvironment(pid).includes(marker)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}
