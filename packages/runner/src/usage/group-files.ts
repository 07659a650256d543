/** Reads the files of a control group, of both versions (cgroups(7), and `Documentation/admin-guide/cgroup-v1` of Linux). Pure. */

/** Returns a number that stands alone in a file; `undefined` if there is none, as in `max`. */
export function soleNumber(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? "";
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}

/** Returns the number beside a key in a file of lines `key number`. */
export function numberBeside(text: string | undefined, key: string): number | undefined {
  const line = text?.split("\n").find((each) => each.startsWith(`${key} `));
  return soleNumber(line?.slice(key.length));
}

/** The contents of the files; those that could not be read are absent. */
export interface GroupFiles {
  readonly version: 1 | 2;
  read(controller: "memory" | "pids" | "cpu" | "cpuacct", file: string): string | undefined;
}

/** What a control group has used, and how often its limits were hit, since it was made. Unknown is absent. */
export interface GroupReading {
  readonly cpuMs: number | undefined;
  /** What cannot be given back: without files that the kernel only keeps in case they are read again. */
  readonly memoryBytes: number | undefined;
  /** Processes that the kernel has killed. */
  readonly oomKills: number | undefined;
  /** Processes and threads that could not be started. */
  readonly refusedForks: number | undefined;
  /** Processes and threads. */
  readonly tasks: number | undefined;
}

export function readGroup({ version, read }: GroupFiles): GroupReading {
  const isV2 = version === 2;
  const used = soleNumber(read("memory", isV2 ? "memory.current" : "memory.usage_in_bytes"));
  const cached = numberBeside(read("memory", "memory.stat"), isV2 ? "inactive_file" : "total_inactive_file");
  const cpu = isV2
    ? scaled(numberBeside(read("cpu", "cpu.stat"), "usage_usec"), 1e-3)
    : scaled(soleNumber(read("cpuacct", "cpuacct.usage")), 1e-6);
  return {
    cpuMs: cpu,
    memoryBytes: used === undefined ? undefined : Math.max(0, used - (cached ?? 0)),
    oomKills: numberBeside(read("memory", isV2 ? "memory.events" : "memory.oom_control"), "oom_kill"),
    refusedForks: numberBeside(read("pids", "pids.events"), "max"),
    tasks: soleNumber(read("pids", "pids.current")),
  };
}

const scaled = (value: number | undefined, factor: number) => (value === undefined ? undefined : value * factor);
