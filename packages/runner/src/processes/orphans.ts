/** Ends processes that OpenCode's tools started and that OpenCode did not end itself, for example because it was killed. */
import { listProcessIds, readEnvironment } from "./proc-files.ts";

/**
 * Kills every process with this variable in its environment, which all descendants of OpenCode inherit. They are in process
 * sessions of their own, which signals to OpenCode's group do not reach. Linux only; does nothing elsewhere.
 */
export function killOrphans(variable: string, value: string): void {
  const marker = `\0${variable}=${value}\0`;
  for (const pid of listProcessIds()) {
    if (pid === process.pid || !readEnvironment(pid).includes(marker)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // The process has just ended.
    }
  }
}
