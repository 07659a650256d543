/** Decides which limits sandboxes in containers have, by what they hold, and what the runner is told. Pure. */
import {
  type AppliedLimits,
  type ControlGroup,
  type RunnerLimits,
  type SandboxLimits,
  type ShownLimits,
  shownLimits,
  type WantedLimits,
} from "@valet/shared/protocol/sandbox-limits";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { defaultLimits, type MachineSize } from "../local/limits/wanted-limits.ts";

/** What an engine says of itself (`GET /info`), as far as limits depend on it. */
export interface EngineInfo {
  readonly CgroupVersion?: string;
  /** Whether the kernel lets the engine limit memory, processes, and the use of processors. An engine ignores what it cannot limit. */
  readonly MemoryLimit?: boolean;
  readonly PidsLimit?: boolean;
  readonly CpuCfsQuota?: boolean;
  /** Of its machine. */
  readonly NCPU?: number;
  readonly MemTotal?: number;
}

export interface EngineLimits {
  readonly limits: SandboxLimits;
  readonly applied: AppliedLimits;
  /** For the broker's health. */
  readonly shown: ShownLimits;
  /** For the runner. */
  readonly ofRunner: RunnerLimits;
}

/**
 * @param machine the size of the broker's machine, where the engine does not say that of its own
 * @param folders those of a sandbox that count as its disk
 */
export function engineLimits(
  info: EngineInfo,
  wanted: WantedLimits,
  machine: MachineSize,
  folders: readonly string[],
): EngineLimits {
  const cpus = info.NCPU || machine.cpus;
  const size = { ...machine, cpus, memoryBytes: info.MemTotal || machine.memoryBytes };
  const asked = { ...defaultLimits(size), ...withoutUndefined(wanted) };
  // Docker refuses a container that may use more processors than there are.
  const limits = { ...asked, cpus: Math.min(asked.cpus, cpus) };
  const version = info.CgroupVersion === "2" ? 2 : 1;
  const group = `cgroup${version}` as const;
  const applied: AppliedLimits = {
    memory: info.MemoryLimit === true ? group : "watch",
    cpu: info.CpuCfsQuota === true ? group : "none",
    processes: info.PidsLimit === true ? group : "none",
    disk: "watch",
    open_files: "rlimit",
  };
  const ofRunner = { ...limits, containerGroup: groupInside(version), applied, folders: [...folders] };
  return { limits, applied, shown: shownLimits(limits, applied), ofRunner };
}

/** Where a container sees its own control group, if it has a namespace of control groups of its own; of version 1 in any case. */
function groupInside(version: 1 | 2): ControlGroup {
  const top = "/sys/fs/cgroup";
  if (version === 2) return { version, path: top };
  return { version, memory: `${top}/memory`, pids: `${top}/pids`, cpu: `${top}/cpu`, cpuacct: `${top}/cpuacct` };
}
