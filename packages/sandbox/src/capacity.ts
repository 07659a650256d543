/** How many sandboxes this machine has room for. */
import { availableParallelism, totalmem } from "node:os";

export interface MachineCapacity {
  /** The maximum number of sandboxes awake at the same time. */
  readonly awake: number;
  /** The maximum number of sandboxes starting at the same time; they count as awake, too. */
  readonly starting: number;
}

/** An idle OpenCode takes about 590 MB, and its runner 50 MB. */
const SANDBOX_BYTES = 640 * 1024 * 1024;
/** Memory for the agents' own commands, the Worker, the broker and the system. */
const RESERVED_SHARE = 0.25;

/**
 * Returns how many sandboxes fit into this much memory and can start on this many cores: a start keeps one core busy.
 * @param memoryBytes of the whole machine
 */
export function capacityOf(memoryBytes: number, cores: number): MachineCapacity {
  const awake = Math.max(1, Math.floor(((1 - RESERVED_SHARE) * memoryBytes) / SANDBOX_BYTES));
  return { awake, starting: Math.max(1, Math.min(cores, awake)) };
}

/** Returns how many sandboxes this machine, or the container that it is, has room for. */
export function machineCapacity(): MachineCapacity {
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return capacityOf(memory, availableParallelism());
}
