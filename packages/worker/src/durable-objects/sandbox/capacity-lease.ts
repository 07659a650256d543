/**
 * The session's side of its lease: what it needs of its broker is read off its state at the end of each transaction, and
 * reported to the broker's capacity object until that has confirmed it. A start waits for its turn here.
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

/** The wait before a report that failed is made again doubles so often. */
const MAX_DOUBLINGS = 5;

/** What a session needs, and of which generation. */
type Need = Pick<CapacityReport, "need" | "generation" | "refusals" | "keepsSlot">;

interface LeaseRow extends Need {
  /** Of the capacity object that it counts in. */
  readonly name: string;
  /** Of one that it counted in before, and that is yet to be told that it does so no more. */
  readonly left?: string;
  /** Of the report that says so. */
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
  /** Before a report that failed is made again; it doubles. */
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

  /** Reads the row anew: what is cached may be of a transaction that was rolled back. */
  reload(): void {
    const [row] = this.#options.sql.exec("SELECT lease FROM capacity_lease").toArray();
    this.#row = row === undefined ? undefined : (JSON.parse(row.lease as string) as LeaseRow);
  }

  /** After the object came to life: nobody makes the report that was not confirmed, and what is needed may be told anew. */
  resume(): void {
    this.note();
    const { timers, now } = this.#options;
    if (this.#row !== undefined && (!this.#row.isConfirmed || this.#isWaiting)) timers.set("capacity", now());
  }

  /** The session's place among those that wait for a sandbox, from 1; `undefined` where it does not wait, or is not told yet. */
  get place(): number | undefined {
    return this.#isWaiting ? this.#row?.place : undefined;
  }

  /** Reports what the session needs, if that is new. To be called at the end of every transaction. */
  note(): void {
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

  /** What the session needs by now, for the capacity object of this name; `null` where it counts in another one. */
  stateFor(name: string): (Need & { readonly version: number }) | null {
    if (name !== this.#name || this.#row === undefined) return null;
    const { need, generation, refusals, keepsSlot, version } = this.#row;
    return { need, generation, refusals, keepsSlot, version };
  }

  /** Takes what the capacity object tells, within a transaction. It may come twice, or late. */
  take(name: string, standing: CapacityStanding): void {
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
    // It is told, too, but what tells it may have lost its memory or its way.
    timers.set("capacity", now() + LIMITS.capacityAskMs);
    if (place === undefined || place === row.place) return;
    this.#write({ ...row, place });
    record({ type: "place-changed", place });
  }

  /** The timer comes, too, if the object does not live to see the answer. */
  #sendLater(): void {
    const { timers, transactions, now } = this.#options;
    timers.set("capacity", now() + LIMITS.reportRetryMs);
    transactions.afterCommit(() => {
      if (this.#isSending) return;
      this.#isSending = true;
      this.#options.background(this.#send());
    });
  }

  /** Reports until the newest is confirmed, one after the other. Never rejects. */
  async #send(): Promise<void> {
    const { capacity, transactions, timers, now, retryMs, report } = this.#options;
    try {
      for (let sent: number | undefined; this.#row !== undefined && this.#row.version !== sent; ) {
        const { name: _name, isConfirmed: _isConfirmed, place: _place, left, ...need } = this.#row;
        const { version, generation } = need;
        sent = version;
        const { id: sessionId } = this.#options.state.record;
        if (left !== undefined) {
          // No two objects count the same session.
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
 * What a session needs of its broker. A session whose sandbox was lost, or did not start, keeps its slot for the next; one that
 * ends keeps it until its sandbox has.
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
