/** Reads /proc. A listed process may already have ended, or belong to another user. */
import { readdirSync, readFileSync } from "node:fs";

/** Returns the ids of all processes; none on a system without /proc. */
export function listProcessIds(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

/** Returns a file of a process as Latin-1, one character per byte; empty if it cannot be read. */
export function readProcFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    return "";
  }
}

/** Returns the environment with which a process was started. Each entry has a NUL before and after it. */
export function readEnvironment(pid: number): string {
  return `\0${readProcFile(pid, "environ")}`;
}
