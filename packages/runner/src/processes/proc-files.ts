/** Reads of /proc, where what is listed may be gone a moment later, or be another user's. */
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

/** Returns a file of a process, byte by byte (Latin-1); empty where it cannot be read. */
export function readProcFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    return "";
  }
}

/** Returns the environment that a process was started with, each entry between NULs. */
export function readEnvironment(pid: number): string {
  return `\0${readProcFile(pid, "environ")}`;
}
