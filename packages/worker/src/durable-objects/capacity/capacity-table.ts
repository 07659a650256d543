/**
 * The sessions that a capacity object knows, with their leases and the line. In memory, and without I/O: whoever keeps it
 * stores what {@link CapacityTable.takeChanged} names.
 */
import type { CapacityLimits } from "../../config.ts";
import type { CapacityReport, CapacityStanding } from "./capacity-calls.ts";
import {
  applyReport,
  type CapacityEntry,
  expire,
  grants,
  isWaiting,
  shortage,
  standingOf,
  waitingLine,
} from "./capacity-rules.ts";

/** What stays of a session that needs nothing: enough to know a late report of it. */
function isOver({ need }: CapacityEntry): boolean {
  return need === "none";
}

export class CapacityTable {
  readonly #limits: CapacityLimits;
  readonly #entries: Map<string, CapacityEntry>;
  readonly #changed = new Set<string>();

  constructor(entries: readonly CapacityEntry[], limits: CapacityLimits) {
    this.#limits = limits;
    this.#entries = new Map(entries.map((entry) => [entry.sessionId, entry]));
  }

  /** Takes these in place of all that it knows: what was changed since they were stored has not happened. */
  reset(entries: readonly CapacityEntry[]): void {
    this.#changed.clear();
    this.#entries.clear();
    for (const entry of entries) this.#entries.set(entry.sessionId, entry);
  }

  get entries(): CapacityEntry[] {
    return [...this.#entries.values()];
  }

  /** Takes a report, and gives the leases that are due then. @returns where the session stands */
  report(report: CapacityReport, nowMs: number): CapacityStanding {
    const { sessionId } = report;
    const before = this.#entries.get(sessionId);
    const nextSeq = Math.max(0, ...this.entries.map(({ seq }) => seq)) + 1;
    const after = applyReport(before, report, nextSeq, nowMs);
    this.#put(after);
    if (before?.isAwake === true && !after.isAwake) this.#retryRefused(sessionId);
    this.grant(nowMs);
    return this.standing(sessionId) ?? { generation: report.generation, granted: false };
  }

  /** Forgets a session that does not exist, or counts elsewhere. */
  drop(sessionId: string, nowMs: number): void {
    const before = this.#entries.get(sessionId);
    if (!this.#entries.delete(sessionId)) return;
    this.#changed.add(sessionId);
    if (before?.isAwake === true) this.#retryRefused(sessionId);
    this.grant(nowMs);
  }

  /** Gives the leases that are due: also those that only time kept back. */
  grant(nowMs: number): void {
    for (const entry of grants(this.entries, this.#limits, nowMs)) this.#put(entry);
  }

  /**
   * The sessions whose lease has expired and who are to be asked what they need; they keep it meanwhile. Forgets those that
   * were asked often enough, and what is over for good.
   */
  takeExpired(nowMs: number): CapacityEntry[] {
    return this.entries
      .filter(({ expiresMs }) => expiresMs <= nowMs)
      .flatMap((entry) => {
        const asked = isOver(entry) ? undefined : expire(entry, nowMs);
        if (asked === undefined) this.drop(entry.sessionId, nowMs);
        else this.#put(asked);
        return asked ?? [];
      });
  }

  standing(sessionId: string): CapacityStanding | undefined {
    const entry = this.#entries.get(sessionId);
    return entry && standingOf(this.entries, entry);
  }

  /** Where the sessions stand that wait or start: those who are told. */
  startStandings(): Map<string, CapacityStanding> {
    const starts = this.entries.filter(({ need }) => need === "start");
    const line = waitingLine(starts).map(({ sessionId, generation }, index) => {
      return [sessionId, { generation, granted: false, place: index + 1 }] as const;
    });
    const granted = starts
      .filter((entry) => !isWaiting(entry))
      .map(({ sessionId, generation }) => [sessionId, { generation, granted: true }] as const);
    return new Map<string, CapacityStanding>([...granted, ...line]);
  }

  /** The sessions whose sandbox is awake: those who may be asked to hibernate. */
  get awake(): CapacityEntry[] {
    return this.entries.filter(({ need }) => need === "awake");
  }

  /** How many of those that are awake have to fall asleep. @param leaving how many are on their way */
  shortage(leaving: number, nowMs: number): number {
    return shortage(this.entries, this.#limits, leaving, nowMs);
  }

  /** When a lease expires next, or the broker is to be tried again; `undefined` where there is neither. Epoch ms. */
  dueMs(nowMs: number): number | undefined {
    const times = this.entries.flatMap((entry) => {
      const isRefused = isWaiting(entry) && entry.notBeforeMs > nowMs;
      return isRefused ? [entry.expiresMs, entry.notBeforeMs] : [entry.expiresMs];
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** The sessions whose entries have changed, or are gone, since this was last asked. */
  takeChanged(): (readonly [sessionId: string, entry: CapacityEntry | undefined])[] {
    const changed = [...this.#changed].map((id) => [id, this.#entries.get(id)] as const);
    this.#changed.clear();
    return changed;
  }

  /** A sandbox has ended: the broker may have room now for what it refused. */
  #retryRefused(endedId: string): void {
    for (const entry of this.entries) {
      if (entry.sessionId !== endedId && entry.notBeforeMs > 0) this.#put({ ...entry, notBeforeMs: 0 });
    }
  }

  #put(entry: CapacityEntry): void {
    this.#entries.set(entry.sessionId, entry);
    this.#changed.add(entry.sessionId);
  }
}
