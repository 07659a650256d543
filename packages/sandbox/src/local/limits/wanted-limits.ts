/** Which limits sandboxes get: those of the environment, or defaults that fit this machine. */
import { statfsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { SandboxLimits, type WantedLimits } from "@valet/shared/protocol/sandbox-limits";
import { BROKER_VARIABLES, type BrokerVariable } from "@valet/shared/variables";
import { z } from "zod";

/** What the defaults depend on. */
export interface MachineSize {
  /** Of the machine, or of the container that it is. */
  readonly memoryBytes: number;
  readonly cpus: number;
  /** Of the file system that holds the sandboxes. */
  readonly diskBytes: number;
}

/** The variable of each limit. */
export const LIMIT_VARIABLES = {
  memoryBytes: "VALET_SANDBOX_MEMORY_BYTES",
  cpus: "VALET_SANDBOX_CPUS",
  processes: "VALET_SANDBOX_PROCESSES",
  diskBytes: "VALET_SANDBOX_DISK_BYTES",
  openFiles: "VALET_SANDBOX_OPEN_FILES",
} as const satisfies Record<keyof SandboxLimits, BrokerVariable>;

const MIB = 1024 * 1024;
/** OpenCode alone takes about 600 MB, and starts with a peak above that. */
const LEAST_MEMORY_BYTES = 2048 * MIB;

/** Returns limits under which any agent works, and that keep one from taking the machine. */
export function defaultLimits({ memoryBytes, cpus, diskBytes }: MachineSize): SandboxLimits {
  return {
    memoryBytes: Math.max(LEAST_MEMORY_BYTES, Math.floor(memoryBytes / 2)),
    cpus,
    processes: Number(BROKER_VARIABLES.VALET_SANDBOX_PROCESSES.default),
    diskBytes: Math.max(1, Math.floor(diskBytes / 2)),
    openFiles: Number(BROKER_VARIABLES.VALET_SANDBOX_OPEN_FILES.default),
  };
}

/** Below these an agent does not even start, which would look like a fault of Valet. */
const LEAST: SandboxLimits = { memoryBytes: 256 * MIB, cpus: 0.05, processes: 64, diskBytes: 16 * MIB, openFiles: 256 };

const Wanted = z.object(
  Object.fromEntries(
    Object.entries(LIMIT_VARIABLES).map(([key, variable]) => {
      const least = LEAST[key as keyof SandboxLimits];
      const error = `${variable} must be a ${key === "cpus" ? "" : "whole "}number of at least ${least}`;
      const number = key === "cpus" ? z.coerce.number(error) : z.coerce.number(error).int(error);
      return [variable, number.min(least, error).optional()];
    }),
  ) as Record<string, z.ZodType<number | undefined>>,
);

/**
 * Returns the limits that the environment asks for; an unset or empty variable leaves the default. `undefined` if it asks for none.
 * @throws Error that names the invalid variable
 */
export function readLimits(env: Readonly<Record<string, string | undefined>>): WantedLimits | undefined {
  const set = Object.values(LIMIT_VARIABLES).map((name) => [name, env[name] || undefined] as const);
  if (set.every(([, value]) => value === undefined)) return undefined;
  const { data, error } = Wanted.safeParse(Object.fromEntries(set));
  if (data === undefined) throw new Error(error.issues[0]?.message);
  return SandboxLimits.partial().parse(
    Object.fromEntries(Object.entries(LIMIT_VARIABLES).map(([key, variable]) => [key, data[variable]])),
  );
}

/** @param folder on the file system that holds the sandboxes */
export function machineSize(folder: string): MachineSize {
  const constrained = process.constrainedMemory();
  const { blocks, bsize } = statfsSync(folder);
  return {
    memoryBytes: constrained > 0 ? Math.min(constrained, totalmem()) : totalmem(),
    cpus: availableParallelism(),
    diskBytes: blocks * bsize,
  };
}
