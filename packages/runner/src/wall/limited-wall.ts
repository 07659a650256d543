/** Lets programs enter a wall under the sandbox's limits: in its control group, and with limits of each process. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ControlGroup, RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import { type OwnLimits, shellLimits } from "./process-limits.ts";
import { type EnterOptions, type Wall, WallError, type WalledCommand } from "./wall.ts";

/** Above that of every ordinary process: if the machine is out of memory, the kernel ends an agent's program, not the runner. */
const OOM_SCORE_ADJUSTMENT = 500;

/** Returns the folders of a control group, each once: a folder may serve several controllers. */
export function foldersOf(group: ControlGroup | undefined): string[] {
  if (group === undefined) return [];
  if (group.version === 2) return [group.path];
  const { memory, pids, cpu, cpuacct } = group;
  return [...new Set([memory, pids, cpu, cpuacct].flatMap((each) => each ?? []))];
}

export class LimitedWall implements Wall {
  readonly #wall: Wall;
  readonly #limits: RunnerLimits;
  readonly #script: string;

  /** @param own the runner's own limits, which its child processes inherit */
  constructor(wall: Wall, limits: RunnerLimits, own: OwnLimits) {
    this.#wall = wall;
    this.#limits = limits;
    this.#script = entranceScript(limits, own);
  }

  get endsAll(): boolean {
    return this.#wall.endsAll;
  }

  get firstPid(): number | undefined {
    return this.#wall.firstPid;
  }

  get processes(): Wall["processes"] {
    return this.#wall.processes?.bind(this.#wall);
  }

  get endProcesses(): Wall["endProcesses"] {
    return this.#wall.endProcesses?.bind(this.#wall);
  }

  async enter(command: readonly [string, ...string[]], folder: string, options?: EnterOptions): Promise<WalledCommand> {
    const gone = foldersOf(this.#limits.group).find((path) => !existsSync(join(path, "cgroup.procs")));
    // No agent runs without the limits that the broker asked for.
    if (gone !== undefined) throw new WallError("the sandbox's control group has gone");
    const { processes, applied } = this.#limits;
    // Within the wall, where the kernel counts the processes of its user namespace and no others (user_namespaces(7)).
    const counted: readonly [string, ...string[]] =
      applied.processes === "rlimit" ? ["/usr/bin/prlimit", `--nproc=${processes}`, "--", ...command] : command;
    const entered = await this.#wall.enter(counted, folder, options);
    return { command: ["/bin/sh", "-c", this.#script, "sh", ...entered.command], cwd: entered.cwd };
  }

  connected(): Promise<void> {
    return this.#wall.connected();
  }

  freePort(): number {
    return this.#wall.freePort();
  }

  expose(url: string): void {
    this.#wall.expose(url);
  }

  reach(port: number): Promise<string | undefined> {
    return this.#wall.reach(port);
  }

  signalOf(exitCode: number): NodeJS.Signals | undefined {
    return this.#wall.signalOf(exitCode);
  }

  close(): Promise<void> {
    return this.#wall.close();
  }
}

/** Returns the shell script that joins the group, lowers its limits and becomes the program in its arguments. */
export function entranceScript(limits: RunnerLimits, own: OwnLimits): string {
  const { openFiles, fileBlocks } = shellLimits(limits, own);
  const steps = [
    // 0 stands for the process that writes.
    ...foldersOf(limits.group).map((path) => `echo 0 >${quoted(join(path, "cgroup.procs"))}`),
    ...[`ulimit -S -n ${openFiles.soft}`, `ulimit -H -n ${openFiles.hard}`],
    ...(Number.isFinite(fileBlocks) ? [`ulimit -f ${fileBlocks}`] : []),
  ];
  return `echo ${OOM_SCORE_ADJUSTMENT} 2>/dev/null >/proc/self/oom_score_adj; ${steps.join(" && ")} && exec "$@"`;
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
