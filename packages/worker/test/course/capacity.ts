/**
 * The capacity object, in memory: the real rules over one slot, which another session may take. Its notices may get lost, and so
 * may its answer if the caller dies.
 */
import type { CapacityReport, CapacityStanding } from "../../src/durable-objects/capacity/capacity-calls.ts";
import { CapacityTable } from "../../src/durable-objects/capacity/capacity-table.ts";

const LIMITS = { awake: 1, starting: 1 } as const;
const OTHER = "ses_other";

export class StandInCapacity {
  /** Its limits as variables of the Worker. */
  readonly variables = { VALET_MAX_AWAKE: String(LIMITS.awake), VALET_MAX_STARTING: String(LIMITS.starting) };
  readonly #table = new CapacityTable([], LIMITS);
  #otherVersion = 0;
  #isCrowded = false;

  /** @param leaves whether a report arrives @param returns whether its answer arrives */
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

  /** Returns whether the session has a slot. */
  holds(sessionId: string): boolean {
    return this.#table.entries.some((entry) => entry.sessionId === sessionId && entry.isAwake);
  }

  /** Lets another session request the slot. */
  crowd(): void {
    if (!this.#isCrowded) this.#other("start");
    this.#isCrowded = true;
  }

  /** Lets the other session give the slot back. */
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
