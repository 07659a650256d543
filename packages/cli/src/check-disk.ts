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
  const advice = lack === "full" ? "nothing can be read or written: make room" : "make room before it is full";
  const detail = `${leftText(stateDir, space)}; ${advice}`;
  return [{ name: "disk", state: lack === "full" ? "missing" : "note", detail, source: "the state directory" }];
}

function leftText(stateDir: string, { bytes, files }: DiskSpace): string {
  const disk = `on the disk of ${stateDir}`;
  if (files === 0) return `no further file can be created ${disk}`;
  const room = `${(bytes / MIB).toFixed(1)} MiB are left ${disk}`;
  const isFilesOnly = lackOfSpace({ bytes, files: undefined }) === undefined;
  return isFilesOnly ? `${room}, but only ${files} more files can be created` : room;
}
