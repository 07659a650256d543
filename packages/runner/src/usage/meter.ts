/** Measures what the agent's processes have used: by their control group, or, where there is none, by adding up processes. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ControlGroup } from "@valet/shared/protocol/sandbox-limits";
import { type GroupReading, readGroup } from "./group-files.ts";
import { cpuMsOf, memoryOf } from "./process-files.ts";
import { WrittenBytes } from "./written-bytes.ts";

/** Figures since the sandbox began, but for the memory, which is that of now. Unknown is absent. */
export interface Reading extends GroupReading {
  /** Bytes that programs wrote to files on disks, whether the kernel has written them by now or not. */
  readonly writtenBytes: number | undefined;
  /** Whether a process has as many files open as it may. */
  readonly isOutOfFiles: boolean;
}

export interface MeterOptions {
  readonly group: ControlGroup | undefined;
  /** How many files each process may have open. */
  readonly openFiles: number;
  /** The process that inherits the agent's processes whose parents have ended, if there is one. */
  firstPid(): number | undefined;
  /** Returns the agent's processes, up to one more than `atMost`, where neither their group nor their parents tell them. */
  processes?(atMost: number): readonly number[];
}

/** With more processes than this, what only each of them knows is unknown: reading it would take too long. */
const MAX_PROCESSES = 256;
/** How often to look again at processes of which one has ended during a look: what it wrote may be missing, or may count twice. */
const MAX_LOOKS = 4;

export class Meter {
  readonly #options: MeterOptions;
  readonly #written = new WrittenBytes();

  constructor(options: MeterOptions) {
    this.#options = options;
  }

  /** Prepares to measure the processes that are there now, which may hide from the runner's user from now on. Never throws. */
  keep(): void {
    this.#written.keep(this.#processes().slice(0, MAX_PROCESSES));
  }

  /** Takes about a tenth of a millisecond, and some microseconds for each process. Never throws. */
  read(): Reading {
    const { group, openFiles } = this.#options;
    const pids = this.#processes();
    const countable = pids.length <= MAX_PROCESSES ? pids : [];
    const isKnown = countable.length > 0;
    const ofGroup =
      group === undefined ? undefined : readGroup({ version: group.version, read: (...at) => groupFile(group, ...at) });
    return {
      cpuMs: ofGroup?.cpuMs ?? (isKnown ? sumOf(countable, (pid) => cpuMsOf(procFile(pid, "stat"))) : undefined),
      memoryBytes:
        ofGroup?.memoryBytes ?? (isKnown ? sumOf(countable, (pid) => memoryOf(procFile(pid, "status"))) : undefined),
      oomKills: ofGroup?.oomKills,
      refusedForks: ofGroup?.refusedForks,
      tasks: ofGroup?.tasks,
      writtenBytes: isKnown ? this.#writtenBy(countable) : undefined,
      isOutOfFiles: countable.some((pid) => openCount(pid) >= openFiles),
    };
  }

  #writtenBy(pids: readonly number[]): number | undefined {
    let sum = this.#written.sumOf(pids);
    for (let look = 1; sum === undefined && look < MAX_LOOKS; look++) {
      const again = this.#processes();
      if (again.length === 0 || again.length > MAX_PROCESSES) return undefined;
      sum = this.#written.sumOf(again);
    }
    return sum;
  }

  /** The agent's processes, with the one that inherits orphans and what they have used. */
  #processes(): readonly number[] {
    const { group, firstPid, processes } = this.#options;
    if (processes !== undefined) return processes(MAX_PROCESSES);
    const first = firstPid();
    const members = membersOf(group);
    if (members !== undefined) return first === undefined ? members : [first, ...members];
    // The runner's own children are few, and those of its git are ended when they are counted again.
    return descendantsOf(process.pid);
  }
}

/** Returns a group's processes; `undefined` without a group. */
function membersOf(group: ControlGroup | undefined): number[] | undefined {
  if (group === undefined) return undefined;
  const text =
    groupFile(group, "pids", "cgroup.procs") ??
    groupFile(group, "memory", "cgroup.procs") ??
    groupFile(group, "cpuacct", "cgroup.procs");
  return text
    ?.split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}

function groupFile(
  group: ControlGroup,
  controller: "memory" | "pids" | "cpu" | "cpuacct",
  file: string,
): string | undefined {
  const folder = group.version === 2 ? group.path : group[controller];
  return folder === undefined ? undefined : textOf(join(folder, file));
}

function descendantsOf(pid: number): number[] {
  const found: number[] = [];
  const wait = [pid];
  for (let next = wait.pop(); next !== undefined && found.length <= MAX_PROCESSES; next = wait.pop()) {
    const children = childrenOf(next);
    found.push(...children);
    wait.push(...children);
  }
  return found;
}

/** Each thread has children of its own. */
function childrenOf(pid: number): number[] {
  const tasks = `/proc/${pid}/task`;
  return (attempt(() => readdirSync(tasks)) ?? []).flatMap((thread) =>
    (textOf(join(tasks, thread, "children")) ?? "")
      .split(" ")
      .map(Number)
      .filter((child) => child > 0),
  );
}

/** Linux says since version 6.2 how many files a process has open without listing them; an older one says 0. */
const openCount = (pid: number) => attempt(() => statSync(`/proc/${pid}/fd`).size) ?? 0;

/** A process that has ended meanwhile counts nothing: its parent has its figures. */
function sumOf(pids: readonly number[], read: (pid: number) => number | undefined): number {
  return pids.reduce((sum, pid) => sum + (read(pid) ?? 0), 0);
}

const procFile = (pid: number, name: string) => textOf(`/proc/${pid}/${name}`) ?? "";
const textOf = (path: string) => attempt(() => readFileSync(path, "latin1"));

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
