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
import { type DurableCallOptions, DurableCalls } from "../core/durable-call.ts";
import type { SessionRecord, SessionState } from "../core/session-state.ts";
import type { TimerHandlers } from "../core/timers.ts";
import type { SandboxEvent } from "./ports.ts";

/** What a session needs, and for which generation. */
type Need = Pick<CapacityReport, "need" | "generation" | "refusals" | "keepsSlot">;

interface LeaseRow extends Need {
  /** The name of the capacity object that counts the session. */
  readonly name: string;
  /** The name of the capacity object that counted it before, until that confirms that the session needs nothing there. */
  readonly left?: string;
  /** The number of the report that states this need. */
  readonly version: number;
  /** The session's place in the line while it waits. */
  readonly place?: number;
}

/** The answer to the report of a version. */
interface Confirmation {
  readonly version: number;
  readonly standing: CapacityStanding;
}

export interface CapacityLeaseOptions extends DurableCallOptions {
  readonly state: SessionState;
  readonly brokerUrl: string;
  readonly capacity: (name: string) => Pick<CapacityCalls, "report">;
  readonly record: (event: SandboxEvent) => void;
}

export class CapacityLease {
  readonly #options: CapacityLeaseOptions;
  readonly #name: string;
  #row: LeaseRow | undefined;
  /** Reports what is needed when the call is made. */
  readonly #calls: DurableCalls<null, Confirmation>;
  readonly timerHandlers: TimerHandlers<"capacity" | "capacity-report">;

  constructor(options: CapacityLeaseOptions) {
    this.#options = options;
    this.#name = capacityName(options.brokerUrl);
    this.reload();
    this.#calls = new DurableCalls<null, Confirmation>("capacity-report", options, {
      delivers: "newest",
      timeoutMs: LIMITS.reportRetryMs,
      longestWaitMs: LIMITS.reportRetryMs,
      call: () => this.#report(),
      settle: (confirmation) => {
        this.#onConfirmed(confirmation);
        return "done";
      },
    });
    this.timerHandlers = { capacity: () => this.#calls.add("", null), "capacity-report": this.#calls.onTimer };
  }

  /** Reads the row again: the cached one may come from a transaction that was rolled back. */
  reload(): void {
    const [row] = this.#options.sql.exec("SELECT lease FROM capacity_lease").toArray();
    this.#row = row === undefined ? undefined : (JSON.parse(row.lease as string) as LeaseRow);
  }

  /** Reports again what was not confirmed, and asks for the place of a start that waits. Called when the object starts. */
  resume(): void {
    this.reportNeed();
    this.#calls.resume();
    const { timers, now } = this.#options;
    if (this.#isWaiting) timers.set("capacity", now());
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
      ...needed,
      name,
      version: (row?.version ?? 0) + 1,
      ...(left !== undefined && left !== name && { left }),
    });
    this.#calls.add("", null);
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

  async #report(): Promise<Confirmation> {
    const { capacity, state } = this.#options;
    const { name, place: _place, left, ...need } = this.#row as LeaseRow;
    const { version, generation } = need;
    const { id: sessionId } = state.record;
    // The old object stops counting the session before the new one begins.
    if (left !== undefined) await withinCall(capacity(left).report({ ...NOTHING, sessionId, generation, version }));
    return { version, standing: await withinCall(capacity(name).report({ sessionId, ...need })) };
  }

  #onConfirmed({ version, standing }: Confirmation): void {
    // The report of a newer version follows.
    if (this.#row?.version !== version) return;
    const { left, ...row } = this.#row;
    if (left !== undefined) this.#write(row);
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
