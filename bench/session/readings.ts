import type { Samples } from "../lib/table.ts";

/** What is measured of each contender: times in ms. */
export type Reading =
  | "ready"
  /** CPU time until then, of all that was started. */
  | "readyCpu"
  | "idle"
  | "accepted"
  | "firstToken"
  | "firstText"
  | "done"
  /** CPU time of a turn; what a process does between turns is in it. */
  | "workerCpu"
  | "runnerCpu";

/** What was read, in the order in which it was, so that those of a round or a phase stand side by side. */
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
