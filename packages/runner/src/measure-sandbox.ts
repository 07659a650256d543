/** Composes what measures the sandbox: by its control group or its processes, and its folders on disk. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { killOrphans } from "./processes/orphans.ts";
import type { Settings } from "./settings.ts";
import { DiskWatch } from "./usage/disk-watch.ts";
import { Meter } from "./usage/meter.ts";
import { SandboxUsage } from "./usage/sandbox-usage.ts";
import { foldersOf } from "./wall/limited-wall.ts";
import { type OwnLimits, shellLimits } from "./wall/process-limits.ts";
import type { Wall } from "./wall/wall.ts";

/** @param onUnendable called when the agent's processes cannot be ended from here */
export function measureSandbox(
  wall: Wall,
  { limits, sandboxId }: Settings,
  own: OwnLimits,
  onUnendable: (error: Error) => void,
): SandboxUsage {
  const disk = limits && new DiskWatch({ folders: limits.folders, limitBytes: limits.diskBytes });
  return new SandboxUsage({
    meter: new Meter({
      group: limits?.group ?? limits?.containerGroup,
      openFiles: limits === undefined ? Number.POSITIVE_INFINITY : shellLimits(limits, own).openFiles.hard,
      firstPid: () => wall.firstPid,
      ...withoutUndefined({ processes: wall.processes?.bind(wall) }),
    }),
    maxTasks: limits?.processes,
    maxMemoryBytes: limits?.applied.memory === "watch" ? limits.memoryBytes : undefined,
    ...(disk && { isDiskFull: ({ writtenBytes }, isDue) => disk.isFull(writtenBytes, isDue) }),
    onExhausted: () => void endAll(wall, limits, sandboxId).catch(onUnendable),
  });
}

const MAX_ROUNDS = 40;
const ROUND_MS = 5;

/** Kills all of the agent's processes, OpenCode included, which starts again when it is needed. @throws WallError */
async function endAll(wall: Wall, limits: RunnerLimits | undefined, sandboxId: string | undefined): Promise<void> {
  if (wall.endProcesses !== undefined) return wall.endProcesses();
  const folders = foldersOf(limits?.group);
  if (folders.length === 0) {
    if (sandboxId !== undefined) killOrphans("VALET_SANDBOX_ID", sandboxId);
    return;
  }
  // None of them can start another one meanwhile.
  for (const folder of folders) write(join(folder, "pids.max"), "0");
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const left = [...new Set(folders.flatMap(membersOf))];
    if (left.length === 0) break;
    for (const pid of left) kill(pid);
    await sleep(ROUND_MS);
  }
  for (const folder of folders) write(join(folder, "pids.max"), `${limits?.processes ?? "max"}`);
}

function membersOf(folder: string): number[] {
  try {
    return readFileSync(join(folder, "cgroup.procs"), "latin1")
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 0);
  } catch {
    return [];
  }
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: "r+" });
  } catch {
    // A folder of another controller.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
