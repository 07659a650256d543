/** Writes and removes folders of control groups, of both versions (cgroups(7)). Everything else about them is in control-groups.ts. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Controller } from "./hierarchies.ts";

const CPU_PERIOD_US = 100_000;
/** The kernel refuses less. */
const LEAST_QUOTA_US = 1_000;

/** What must be written for a limit: file and value. Files that not every kernel has may be missing. */
interface Setting {
  readonly file: string;
  readonly value: string;
  readonly isOptional?: true;
}

/** Returns what to write into a group, for one controller. @param cores the machine's: a quota for all of them would only cost time */
export function settingsOf(version: 1 | 2, controller: Controller, limits: SandboxLimits, cores: number): Setting[] {
  const { memoryBytes, cpus, processes } = limits;
  const quota = cpus >= cores ? undefined : Math.max(LEAST_QUOTA_US, Math.round(cpus * CPU_PERIOD_US));
  // Without the limits on swap, a sandbox that is out of memory would make the machine slow instead of ending.
  switch (controller) {
    case "memory":
      if (version === 2) {
        return [
          { file: "memory.max", value: `${memoryBytes}` },
          { file: "memory.swap.max", value: "0", isOptional: true },
        ];
      }
      return [
        { file: "memory.limit_in_bytes", value: `${memoryBytes}` },
        { file: "memory.memsw.limit_in_bytes", value: `${memoryBytes}`, isOptional: true },
      ];
    case "pids":
      return [{ file: "pids.max", value: `${processes}` }];
    case "cpu":
      if (version === 2) return [{ file: "cpu.max", value: `${quota ?? "max"} ${CPU_PERIOD_US}` }];
      return [
        { file: "cpu.cfs_period_us", value: `${CPU_PERIOD_US}` },
        { file: "cpu.cfs_quota_us", value: `${quota ?? -1}` },
      ];
    case "cpuacct":
      return [];
  }
}

/** @throws if the folder cannot be made, or a required file cannot be written */
export function makeGroup(folder: string, settings: readonly Setting[]): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const { file, value, isOptional } of settings) {
    try {
      writeFileSync(join(folder, file), value, { flag: "r+" });
    } catch (error) {
      if (isOptional !== true) throw error;
    }
  }
}

/** How long the kernel may take to let go of a group whose processes have ended, in ms. */
const REMOVE_MS = 2_000;

/**
 * Removes a group with those below it. Kills what still runs in them. A group that is not there is fine.
 * @throws if processes survive that
 */
export async function removeGroup(folder: string): Promise<void> {
  for (const end = Date.now() + REMOVE_MS; ; await sleep(5)) {
    try {
      return removeNow(folder);
    } catch (error) {
      if (codeOf(error) !== "EBUSY" || Date.now() > end) throw error;
      killAll(folder);
    }
  }
}

/** Somebody else, such as the guardian of the broker that made it, may remove it at the same time. */
function removeNow(folder: string): void {
  for (const child of foldersIn(folder)) removeNow(child);
  unlessMissing(() => rmdirSync(folder));
}

function killAll(folder: string): void {
  for (const child of foldersIn(folder)) killAll(child);
  for (const pid of membersOf(folder)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}

/** Returns the processes in a group; none if it is not there. */
export function membersOf(folder: string): number[] {
  try {
    const pids = readFileSync(join(folder, "cgroup.procs"), "latin1").split("\n").map(Number);
    // 0 stands for a process that this PID namespace does not show.
    return pids.filter((pid) => pid > 0);
  } catch {
    return [];
  }
}

/** Returns the folders in one; none if it is not there. */
function foldersIn(folder: string): string[] {
  const entries = unlessMissing(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

function unlessMissing<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;
