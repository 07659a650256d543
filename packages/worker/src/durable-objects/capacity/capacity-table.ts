/**
 * The sessions that a capacity object knows, with their leases and the line. In memory and without I/O: the caller
 * stores what {@link CapacityTable.takeChanged} returns.
 */
import type { CapacityLimits } from "../../config.ts";
import type { CapacityReport, CapacityShortage, CapacityStanding } from "./capacity-calls.ts";
import {
  applyReport,
  type CapacityEntry,
  expire,
  grants,
  isWaiting,
  shortage,
  shortageOf,
  standingOf,
  waitingLine,
} from "./capacity-rules.ts";

/** Returns whether a session needs nothing; its entry stays only to recognize a late report. */
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

  /** Replaces all entries, which discards changes that were not stored. */
  reset(entries: readonly CapacityEntry[]): void {
    this.#changed.clear();
    this.#entries.clear();
    for (const entry of entries) this.#entries.set(entry.sessionId, entry);
  }

  get entries(): CapacityEntry[] {
    return [...this.#entries.values()];
  }

  /** Applies a report, and grants the slots that become free. @returns the session's standing */
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

  /** Removes a session that does not exist, or is counted elsewhere. */
  drop(sessionId: string, nowMs: number): void {
    const before = this.#entries.get(sessionId);
    if (!this.#entries.delete(sessionId)) return;
    this.#changed.add(sessionId);
    if (before?.isAwake === true) this.#retryRefused(sessionId);
    this.grant(nowMs);
  }

  /** Grants the slots that are due, including those that only had to wait for a time. */
  grant(nowMs: number): void {
    for (const entry of grants(this.entries, this.#limits, nowMs)) this.#put(entry);
  }

  /**
   * Returns the sessions whose leases have expired, which are to be asked for their need; they keep the lease
   * meanwhile. Removes those that were asked often enough, and entries that are over.
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

  /** Returns what a session waits for; `undefined` if it does not wait. */
  shortageOf(sessionId: string): CapacityShortage | undefined {
    const entry = this.#entries.get(sessionId);
    return entry && shortageOf(this.entries, entry, this.#limits);
  }

  /** Returns the standings of waiting and starting sessions, which receive notices. */
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

  /** Returns the sessions with an awake sandbox, which may be asked to hibernate. */
  get awake(): CapacityEntry[] {
    return this.entries.filter(({ need }) => need === "awake");
  }

  /** Returns how many awake sandboxes have to hibernate. @param leaving how many are hibernating already */
  shortage(leaving: number, nowMs: number): number {
    return shortage(this.entries, this.#limits, leaving, nowMs);
  }

  /** Returns when the next lease expires or the broker is to be retried, epoch ms; `undefined` when neither is due. */
  dueMs(nowMs: number): number | undefined {
    const times = this.entries.flatMap((entry) => {
      const isRefused = isWaiting(entry) && entry.notBeforeMs > nowMs;
      return isRefused ? [entry.expiresMs, entry.notBeforeMs] : [entry.expiresMs];
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Returns the entries that were changed or removed since the last call. */
  takeChanged(): (readonly [sessionId: string, entry: CapacityEntry | undefined])[] {
    const changed = [...this.#changed].map((id) => [id, this.#entries.get(id)] as const);
    this.#changed.clear();
    return changed;
  }

  /** Makes refused starts due again, since the broker may have room after a sandbox has ended. */
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
