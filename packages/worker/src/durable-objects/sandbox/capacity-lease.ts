/**
 * The session's side of its lease. At the end of each transaction the lease derives from the session's state what the session needs
 * of its broker, and reports changes to the broker's capacity object until that confirms them. A start waits here for a slot.
 */
import { LIMITS } from "@valet/shared/limits";
import {
  type CapacityCalls,
  type CapacityNeed,
  type CapacityReport,
  type CapacityStanding,
  capacityName,
} from "../capacity/capacity-calls.ts";
import { withinCall } from "../capacity/within-call.ts";
import type { SessionRecord, SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { SandboxEvent } from "./ports.ts";

/** How often the wait before the retry of a failed report doubles. */
const MAX_DOUBLINGS = 5;

/** What a session needs, and for which generation. */
type Need = Pick<CapacityReport, "need" | "generation" | "refusals" | "keepsSlot">;

interface LeaseRow extends Need {
  /** The name of the capacity object that counts the session. */
  readonly name: string;
  /** The name of the capacity object that counted it before, until that confirms that the session needs nothing there. */
  readonly left?: string;
  /** The number of the report that states this need. */
  readonly version: number;
  readonly isConfirmed: boolean;
  /** The session's place in the line while it waits. */
  readonly place?: number;
}

export interface CapacityLeaseOptions {
  readonly sql: SqlStorage;
  readonly state: SessionState;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly brokerUrl: string;
  readonly capacity: (name: string) => CapacityCalls;
  readonly now: () => number;
  /** The wait before the first retry of a failed report; it doubles. */
  readonly retryMs: number;
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
  readonly record: (event: SandboxEvent) => void;
}

export class CapacityLease {
  readonly #options: CapacityLeaseOptions;
  readonly #name: string;
  #row: LeaseRow | undefined;
  #isSending = false;
  #failures = 0;
  readonly timerHandlers: TimerHandlers<"capacity"> = { capacity: () => this.#sendLater() };

  constructor(options: CapacityLeaseOptions) {
    this.#options = options;
    this.#name = capacityName(options.brokerUrl);
    this.reload();
  }

  /** Reads the row again: the cached one may come from a transaction that was rolled back. */
  reload(): void {
    const [row] = this.#options.sql.exec("SELECT lease FROM capacity_lease").toArray();
    this.#row = row === undefined ? undefined : (JSON.parse(row.lease as string) as LeaseRow);
  }

  /** Reports again what was not confirmed, and asks for the place of a start that waits. Called when the object starts. */
  resume(): void {
    this.reportNeed();
    const { timers, now } = this.#options;
    if (this.#row !== undefined && (!this.#row.isConfirmed || this.#isWaiting)) timers.set("capacity", now());
  }

  /** The session's place among those that wait for a sandbox, from 1; `undefined` if it does not wait, or its place is unknown. */
  get place(): number | undefined {
    return this.#isWaiting ? this.#row?.place : undefined;
  }

  /** Reports what the session needs, if that has changed. Called at the end of every transaction. */
  reportNeed(): void {
    const { state } = this.#options;
    const needed = needOf(state.record);
    const row = this.#row;
    const name = this.#name;
    if (row === undefined ? needed.need === "none" : isSame(row, needed) && row.name === name) return;
    const left = row === undefined || row.name === name ? row?.left : row.name;
    this.#write({
      ...{ ...needed, name, version: (row?.version ?? 0) + 1, isConfirmed: false },
      ...(left !== undefined && left !== name && { left }),
    });
    this.#sendLater();
  }

  /** Returns what the session needs of the capacity object of this name; `null` if another one counts the session. */
  needFor(name: string): (Need & { readonly version: number }) | null {
    if (name !== this.#name || this.#row === undefined) return null;
    const { need, generation, refusals, keepsSlot, version } = this.#row;
    return { need, generation, refusals, keepsSlot, version };
  }

  /** Applies a notice of the capacity object, within a transaction. Idempotent; a late notice changes nothing. */
  onStanding(name: string, standing: CapacityStanding): void {
    if (name === this.#name) this.#apply(standing);
  }

  get #isWaiting(): boolean {
    return this.#options.state.maybe?.operation?.step === "waiting";
  }

  #apply({ generation, granted, place }: CapacityStanding): void {
    const row = this.#row;
    if (row === undefined || !this.#isWaiting || row.need !== "start" || row.generation !== generation) return;
    const { timers, now, record } = this.#options;
    if (granted) {
      timers.clear("capacity");
      record({ type: "turn-granted" });
      return;
    }
    // The capacity object sends a notice, too; but that may get lost, so the session asks again after a while.
    timers.set("capacity", now() + LIMITS.capacityAskMs);
    if (place === undefined || place === row.place) return;
    this.#write({ ...row, place });
    record({ type: "place-changed", place });
  }

  /** Sends the report after the commit. The timer sends it if the object dies before the answer arrives. */
  #sendLater(): void {
    const { timers, transactions, now } = this.#options;
    timers.set("capacity", now() + LIMITS.reportRetryMs);
    transactions.afterCommit(() => {
      if (this.#isSending) return;
      this.#isSending = true;
      this.#options.background(this.#send());
    });
  }

  /** Sends one report after the other until the newest is confirmed. Never rejects. */
  async #send(): Promise<void> {
    const { capacity, transactions, timers, now, retryMs, report } = this.#options;
    try {
      for (let sent: number | undefined; this.#row !== undefined && this.#row.version !== sent; ) {
        const { name: _name, isConfirmed: _isConfirmed, place: _place, left, ...need } = this.#row;
        const { version, generation } = need;
        sent = version;
        const { id: sessionId } = this.#options.state.record;
        if (left !== undefined) {
          // The old object stops counting the session before the new one begins.
          await withinCall(capacity(left).report({ ...NOTHING, sessionId, generation, version }));
        }
        const standing = await withinCall(capacity(this.#name).report({ sessionId, ...need }));
        transactions.run(() => this.#onConfirmed(version, standing));
      }
      this.#failures = 0;
    } catch (error) {
      report(error);
      timers.set("capacity", now() + retryMs * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS));
      timers.arm();
    } finally {
      this.#isSending = false;
    }
  }

  #onConfirmed(version: number, standing: CapacityStanding): void {
    if (this.#row?.version !== version) return;
    if (!this.#row.isConfirmed) {
      const { left: _left, ...row } = this.#row;
      this.#write({ ...row, isConfirmed: true });
    }
    this.#options.timers.clear("capacity");
    this.#apply(standing);
  }

  #write(row: LeaseRow): void {
    this.#options.sql.exec("INSERT OR REPLACE INTO capacity_lease VALUES (1, ?)", JSON.stringify(row));
    this.#row = row;
  }
}

/**
 * Returns what a session needs of its broker. A session whose sandbox was lost, or did not start, keeps its slot for the next
 * one; a session that ends keeps it until its sandbox has ended.
 */
export function needOf({ state, generation, operation, sandbox }: SessionRecord): Need {
  const need = NEEDS[state];
  if (need === "start") {
    const isWaiting = operation?.step === "waiting";
    const { refusals = 0, keepsSlot = false } = operation ?? {};
    return { need, generation: isWaiting ? generation + 1 : generation, refusals, keepsSlot };
  }
  const isOver = state === "terminating" && sandbox === undefined;
  return { ...NOTHING, need: isOver ? "none" : need, generation };
}

const NOTHING = { need: "none", refusals: 0, keepsSlot: false } as const;

const NEEDS: Readonly<Record<SessionRecord["state"], CapacityNeed>> = {
  created: "none",
  starting: "start",
  restoring: "start",
  running: "awake",
  hibernating: "awake",
  recovering: "awake",
  terminating: "awake",
  hibernated: "none",
  terminated: "none",
  error: "none",
};

function isSame(a: Need, b: Need): boolean {
  const isSameStart = a.refusals === b.refusals && a.keepsSlot === b.keepsSlot;
  return a.need === b.need && a.generation === b.generation && isSameStart;
}
