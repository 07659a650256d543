import type { Samples } from "../lib/table.ts";

/** The measured values of each contender: times in ms. */
export type Reading =
  | "ready"
  /** CPU time until ready, of all started processes. */
  | "readyCpu"
  | "idle"
  /** From a request that creates a session with a message to that message's first text. */
  | "created"
  /** The first text of the first message, which is sent when the agent has been idle for a second. */
  | "firstMessage"
  | "accepted"
  | "firstToken"
  | "firstText"
  | "done"
  /** CPU time of a turn, including the process's work between turns. */
  | "workerCpu"
  | "runnerCpu"
  /** Of OpenCode. */
  | "agentCpu";

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
