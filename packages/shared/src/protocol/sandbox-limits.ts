/** The limits of one sandbox: what the broker sets, and what it tells the runner, which applies them to the agent's processes. */
import { z } from "zod";

/** What is limited. */
export const LIMIT_NAMES = ["memory", "cpu", "processes", "disk", "open_files"] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

/**
 * By what a limit holds: a control group of Linux, version 2 or 1, for the whole sandbox; `rlimit` for each process alone; `watch`
 * when the runner measures and ends the work; `none` when this machine allows nothing.
 */
export const LIMIT_MEANS = ["cgroup2", "cgroup1", "rlimit", "watch", "none"] as const;
export type LimitMeans = (typeof LIMIT_MEANS)[number];

export const SandboxLimits = z.object({
  /** Of all processes of the agent together, in bytes, with what they keep in temporary file systems. */
  memoryBytes: z.int().positive(),
  /** How many processors' time they may use. */
  cpus: z.number().positive(),
  /** Processes and threads. */
  processes: z.int().positive(),
  /** What the sandbox's folders may take, in bytes; no single file may be larger, either. */
  diskBytes: z.int().positive(),
  /** Of each process. */
  openFiles: z.int().positive(),
});
export type SandboxLimits = z.infer<typeof SandboxLimits>;

/** Limits that somebody asks for; the rest is up to the machine. */
export type WantedLimits = { readonly [K in keyof SandboxLimits]?: SandboxLimits[K] | undefined };

/** By what each limit holds. */
export type AppliedLimits = { readonly [N in LimitName]: LimitMeans };

/** The folders of a sandbox's control group; of version 1, one for each controller that could be used. */
export const ControlGroup = z.discriminatedUnion("version", [
  z.object({ version: z.literal(2), path: z.string() }),
  z.object({
    version: z.literal(1),
    memory: z.string().optional(),
    pids: z.string().optional(),
    cpu: z.string().optional(),
    cpuacct: z.string().optional(),
  }),
]);
export type ControlGroup = z.infer<typeof ControlGroup>;

/** `VALET_SANDBOX_LIMITS`, as JSON: what the runner applies and measures. */
export const RunnerLimits = SandboxLimits.extend({
  /** Absent where no control group could be made. */
  group: ControlGroup.optional(),
  /** That of the container, with the runner and all else in it: it is read, and neither joined nor changed. */
  containerGroup: ControlGroup.optional(),
  applied: z.record(z.enum(LIMIT_NAMES), z.enum(LIMIT_MEANS)),
  /** The folders that count as the sandbox's disk. */
  folders: z.array(z.string()),
});
export type RunnerLimits = z.infer<typeof RunnerLimits>;

/** A limit as it is shown: its value, in bytes, processors or a count, and by what it holds. */
export const ShownLimits = z.record(
  z.enum(LIMIT_NAMES),
  z.object({ value: z.number().positive(), by: z.enum(LIMIT_MEANS) }),
);
export type ShownLimits = z.infer<typeof ShownLimits>;

export function shownLimits(limits: SandboxLimits, applied: AppliedLimits): ShownLimits {
  return {
    memory: { value: limits.memoryBytes, by: applied.memory },
    cpu: { value: limits.cpus, by: applied.cpu },
    processes: { value: limits.processes, by: applied.processes },
    disk: { value: limits.diskBytes, by: applied.disk },
    open_files: { value: limits.openFiles, by: applied.open_files },
  };
}
