/** Checks the free space on the disk of the state directory. */
import type { Finding } from "./check-telemetry.ts";
import { type DiskSpace, diskSpace, lackOfSpace } from "./system/disk-space.ts";

const MIB = 1024 * 1024;

/** Returns a finding when little space is left on the disk of the state directory. */
export function checkDisk(stateDir: string): Finding[] {
  try {
    return findingOf(stateDir, diskSpace(stateDir));
  } catch {
    return [];
  }
}

/** Returns what free space means for Valet. */
export function findingOf(stateDir: string, space: DiskSpace): Finding[] {
  const lack = lackOfSpace(space);
  if (lack === undefined) return [];
  const left = space.files === 0 ? "no further file can be created" : `${(space.bytes / MIB).toFixed(1)} MiB are left`;
  const advice = lack === "full" ? "nothing can be read or written: make room" : "make room before it is full";
  const detail = `${left} on the disk of ${stateDir}; ${advice}`;
  return [{ name: "disk", state: lack === "full" ? "missing" : "note", detail, source: "the state directory" }];
}
