/** The limits of the sandboxes of one broker on this machine: which they are, by what they hold, and what the runner is told. */
import { join } from "node:path";
import type { Isolation } from "@valet/shared/protocol/sandbox-broker";
import {
  type AppliedLimits,
  type RunnerLimits,
  type SandboxLimits,
  type ShownLimits,
  shownLimits,
  type WantedLimits,
} from "@valet/shared/protocol/sandbox-limits";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { ControlGroups } from "./control-groups.ts";
import { defaultLimits, machineSize } from "./wanted-limits.ts";

export class LocalLimits {
  /** For the broker's health. */
  readonly shown: ShownLimits;
  readonly #limits: SandboxLimits;
  readonly #applied: AppliedLimits;
  readonly #groups: ControlGroups;

  private constructor(limits: SandboxLimits, applied: AppliedLimits, groups: ControlGroups) {
    this.#limits = limits;
    this.#applied = applied;
    this.#groups = groups;
    this.shown = shownLimits(limits, applied);
  }

  /**
   * Finds out by what the limits hold on this machine. Removes what earlier brokers of the state directory left.
   * @param wanted take the place of the machine's defaults
   * @param warn receives the loud line if a limit does not hold as it should
   */
  static async open(
    stateDir: string,
    brokerId: string,
    wanted: WantedLimits,
    isolation: Isolation,
    warn: (line: string) => void,
  ): Promise<LocalLimits> {
    const limits = { ...defaultLimits(machineSize(stateDir)), ...withoutUndefined(wanted) };
    const groups = await ControlGroups.open(stateDir, brokerId, limits);
    const applied = appliedLimits(groups.applied, isolation, process.getuid?.() === 0);
    const warning = limitWarning(applied);
    if (warning !== undefined) warn(warning);
    return new LocalLimits(limits, applied, groups);
  }

  /**
   * Makes the control group of a sandbox, if it has none yet.
   * @param folder the sandbox's
   * @throws if it cannot be made any more
   */
  forSandbox(sandboxId: string, folder: string): RunnerLimits {
    return {
      ...this.#limits,
      ...withoutUndefined({ group: this.#groups.create(sandboxId, this.#limits) }),
      applied: this.#applied,
      folders: ["workspace", "home", "tmp"].map((name) => join(folder, name)),
    };
  }

  /** Removes a sandbox's control group, with what still runs in it. Idempotent. @throws if processes survive that */
  remove(sandboxId: string): Promise<void> {
    return this.#groups.remove(sandboxId);
  }

  close(): Promise<void> {
    return this.#groups.close();
  }
}

/**
 * Returns by what each limit holds.
 * @param groups what control groups can limit here
 * @param isRoot whether agents run as the machine's root, whom the kernel's limit on a user's processes does not bind
 */
export function appliedLimits(
  groups: Pick<AppliedLimits, "memory" | "cpu" | "processes">,
  isolation: Isolation,
  isRoot: boolean,
): AppliedLimits {
  // The kernel counts a user's processes in each user namespace apart. Without one it would count all that the user has.
  const countsOwn = isolation === "bwrap" && !isRoot;
  return {
    memory: groups.memory === "none" ? "watch" : groups.memory,
    cpu: groups.cpu,
    processes: groups.processes === "none" && countsOwn ? "rlimit" : groups.processes,
    disk: "watch",
    open_files: "rlimit",
  };
}

/** Returns what to tell whoever starts the broker; `undefined` if each limit holds for the whole sandbox. */
export function limitWarning({ memory, cpu, processes }: AppliedLimits): string | undefined {
  const weak = [
    memory === "watch" ? "memory is only measured four times a second while turns run" : [],
    cpu === "none" ? "nothing limits the use of processors" : [],
    processes === "none" ? "nothing limits the number of processes" : [],
  ].flat();
  if (weak.length === 0) return undefined;
  return `LIMITS OF SANDBOXES ARE WEAK HERE, since control groups cannot be written: ${weak.join(", ")}. With systemd: \`systemd-run --user --scope -p Delegate=yes …\``;
}
