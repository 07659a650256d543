import type { Samples } from "../lib/table.ts";

/** The measured values of each contender: times in ms. */
export type Reading =
  | "ready"
  /** CPU time until ready, of all started processes. */
  | "readyCpu"
  | "idle"
  | "accepted"
  | "firstToken"
  | "firstText"
  | "done"
  /** CPU time of a turn, including the process's work between turns. */
  | "workerCpu"
  | "runnerCpu";

/** The values in the order of reading, so that those of a round or a phase are at the same index. */
export class Readings {
  readonly #values = new Map<Reading, Record<string, number[]>>();

  add(reading: Reading, contender: string, ms: number): void {
    const values = this.#values.get(reading) ?? {};
    this.#values.set(reading, values);
    values[contender] ??= [];
    values[contender].push(ms);
  }

  of(reading: Reading): Samples {
    return this.#values.get(reading) ?? {};
  }
}
