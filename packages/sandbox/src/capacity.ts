/** How many sandboxes this machine has room for. */
import { availableParallelism, totalmem } from "node:os";

export interface MachineCapacity {
  /** Sandboxes that are awake at once. */
  readonly awake: number;
  /** Of those, sandboxes that are starting at once. */
  readonly starting: number;
}

/** An idle OpenCode takes about 590 MB, and the runner beside it 50. */
const SANDBOX_BYTES = 640 * 1024 * 1024;
/** What the agents' own commands, the Worker, the broker and the system take. */
const RESERVED_SHARE = 0.25;

/**
 * What fits into so much memory and is started by so many cores: a start keeps one core busy.
 * @param memoryBytes of the whole machine
 */
export function capacityOf(memoryBytes: number, cores: number): MachineCapacity {
  const awake = Math.max(1, Math.floor(((1 - RESERVED_SHARE) * memoryBytes) / SANDBOX_BYTES));
  return { awake, starting: Math.max(1, Math.min(cores, awake)) };
}

/** What this machine, or the container that it is, has room for. */
export function machineCapacity(): MachineCapacity {
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return capacityOf(memory, availableParallelism());
}
