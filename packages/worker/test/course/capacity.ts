/**
 * The capacity object, in memory: the real rules over one slot, which another session may take. What it tells may get lost, as
 * an answer may whose asker has died.
 */
import type { CapacityReport, CapacityStanding } from "../../src/durable-objects/capacity/capacity-calls.ts";
import { CapacityTable } from "../../src/durable-objects/capacity/capacity-table.ts";

const LIMITS = { awake: 1, starting: 1 } as const;
const OTHER = "ses_other";

export class StandInCapacity {
  /** What its limits are called in the Worker's environment. */
  readonly variables = { VALET_MAX_AWAKE: String(LIMITS.awake), VALET_MAX_STARTING: String(LIMITS.starting) };
  readonly #table = new CapacityTable([], LIMITS);
  #otherVersion = 0;
  #isCrowded = false;

  /** @param leaves whether a report gets as far as here @param returns whether the answer gets back */
  binding(leaves: () => boolean, returns: () => boolean) {
    const report = async (report: CapacityReport): Promise<CapacityStanding> => {
      if (!leaves()) return new Promise(() => {});
      const standing = this.#table.report(report, Date.now());
      await undefined;
      return returns() ? standing : new Promise(() => {});
    };
    return { idFromName: (name: string) => name, get: () => ({ report }) };
  }

  standing(sessionId: string): CapacityStanding | undefined {
    this.#table.grant(Date.now());
    return this.#table.standing(sessionId);
  }

  /** Whether the session has a slot. */
  holds(sessionId: string): boolean {
    return this.#table.entries.some((entry) => entry.sessionId === sessionId && entry.isAwake);
  }

  /** Another session wants the slot, or has it. */
  crowd(): void {
    if (!this.#isCrowded) this.#other("start");
    this.#isCrowded = true;
  }

  /** The other session wants it no more. */
  room(): void {
    if (this.#isCrowded) this.#other("none");
    this.#isCrowded = false;
  }

  #other(need: CapacityReport["need"]): void {
    const version = ++this.#otherVersion;
    this.#table.report(
      { sessionId: OTHER, generation: version, version, need, refusals: 0, keepsSlot: false },
      Date.now(),
    );
  }
}
