/** What OpenCode's tools started and it did not end itself: when it was killed, say. */
import { readdirSync, readFileSync } from "node:fs";

/**
 * Kills every process that was started with this variable in its environment, which all that OpenCode starts inherits. They
 * lead sessions of their own, so that no signal to a group reaches them. Only Linux tells of environments; elsewhere
 * nothing is done.
 */
export function killLeftovers(variable: string, value: string): void {
  const marker = `\0${variable}=${value}\0`;
  for (const name of list("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    if (!`\0${read(`/proc/${name}/environ`)}`.includes(marker)) continue;
    try {
      process.kill(Number(name), "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    // Ended, or another user's.
    return "";
  }
}
