/**
 * Decides which sessions may start a sandbox, and which wait. Pure: from the sessions' reports to the slots that are
 * granted and the places of the others.
 *
 * Sessions that want a sandbox wait in one line, first come, first served. At its head a session is granted two slots
 * at once: one among the awake sandboxes, which it keeps until its sandbox has ended, and one among the starting
 * sandboxes, which it keeps until its runner is ready. A session whose sandbox was lost has kept the first slot and
 * waits for the second only. So it may pass those who wait for another session to hibernate, and nobody else.
 */

import { LIMITS } from "@valet/shared/limits";
import type { CapacityLimits } from "../../config.ts";
import type { CapacityNeed, CapacityReport, CapacityShortage, CapacityStanding } from "./capacity-calls.ts";

/** The state of a session that needs, or recently needed, a sandbox. */
export interface CapacityEntry {
  readonly sessionId: string;
  readonly generation: number;
  /** The version of its last report. */
  readonly version: number;
  readonly need: CapacityNeed;
  /**
   * The session's position in the line, assigned at the first report of this start. A start that the broker refused
   * keeps it.
   */
  readonly seq: number;
  /** Whether the session has a slot among the awake sandboxes. */
  readonly isAwake: boolean;
  /** Whether the session has a slot among the starting sandboxes. */
  readonly isStarting: boolean;
  readonly refusals: number;
  /** The broker was full: this start is not retried before this time, or before another sandbox has ended. Epoch ms. */
  readonly notBeforeMs: number;
  /** When the lease expires; the session is then asked whether it still needs the slot. Epoch ms. */
  readonly expiresMs: number;
  /** How many questions the session has not answered since it was last heard. */
  readonly misses: number;
}

/** How long a lease lasts. */
export const LEASE_MS = 10 * 60_000;
/** The lease of a waiting or starting session, which is shorter, since its state changes soon. */
export const START_LEASE_MS = LIMITS.startLeaseMs;
/**
 * The delay before a session that did not answer is asked again; after {@link MAX_MISSES} questions it loses its lease.
 */
export const MISS_RETRY_MS = LIMITS.leaseRetryMs;
export const MAX_MISSES = 3;
/** The delay after a refusal of the broker; it doubles. */
const REFUSED_MS = 2000;
const MAX_REFUSED_MS = 30_000;

/**
 * Returns an entry with a report applied. A report that is not newer than the last one only renews the lease.
 * @param nextSeq the next position in the line
 */
export function applyReport(
  entry: CapacityEntry | undefined,
  report: CapacityReport,
  nextSeq: number,
  nowMs: number,
): CapacityEntry {
  const { sessionId, generation, version, need, refusals, keepsSlot } = report;
  const expiresMs = nowMs + (need === "start" ? START_LEASE_MS : LEASE_MS);
  if (entry !== undefined && version <= entry.version) {
    const lease = entry.need === "start" ? START_LEASE_MS : LEASE_MS;
    return version < entry.version ? entry : { ...entry, expiresMs: nowMs + lease, misses: 0 };
  }
  const known = { sessionId, generation, version, need, refusals, expiresMs, misses: 0, notBeforeMs: 0 };
  if (need === "none") return { ...known, seq: 0, isAwake: false, isStarting: false };
  // Recorded as awake in any case, since its sandbox exists.
  if (need === "awake") return { ...known, seq: 0, isAwake: true, isStarting: false };
  if (entry?.need !== "start") {
    return { ...known, seq: nextSeq, isAwake: keepsSlot && entry?.isAwake === true, isStarting: false };
  }
  const { seq } = entry;
  if (refusals <= entry.refusals) {
    const { isAwake, isStarting, notBeforeMs } = entry;
    return { ...known, seq, isAwake, isStarting, notBeforeMs };
  }
  const pauseMs = Math.min(REFUSED_MS * 2 ** (refusals - 1), MAX_REFUSED_MS);
  return { ...known, seq, isAwake: false, isStarting: false, notBeforeMs: nowMs + pauseMs };
}

/** Returns the waiting sessions in the order of the line. */
export function waitingLine(entries: readonly CapacityEntry[]): CapacityEntry[] {
  return entries.filter(isWaiting).toSorted((a, b) => a.seq - b.seq);
}

/** Returns the entries that are granted their slots now, in order. */
export function grants(entries: readonly CapacityEntry[], limits: CapacityLimits, nowMs: number): CapacityEntry[] {
  let awake = entries.filter(({ isAwake }) => isAwake).length;
  let starting = entries.filter(({ isStarting }) => isStarting).length;
  let isBlocked = false;
  const granted: CapacityEntry[] = [];
  for (const entry of waitingLine(entries)) {
    if (starting >= limits.starting) break;
    if (!entry.isAwake) {
      isBlocked ||= awake >= limits.awake || entry.notBeforeMs > nowMs;
      if (isBlocked) continue;
      awake++;
    }
    starting++;
    granted.push({ ...entry, isAwake: true, isStarting: true, expiresMs: nowMs + START_LEASE_MS });
  }
  return granted;
}

/**
 * Returns how many sandboxes have to hibernate for those who wait: at most as many as may start at once.
 * @param leaving how many are hibernating already
 */
export function shortage(
  entries: readonly CapacityEntry[],
  limits: CapacityLimits,
  leaving: number,
  nowMs: number,
): number {
  const wanting = waitingLine(entries).filter(({ isAwake }) => !isAwake);
  const [head] = wanting;
  if (head === undefined) return 0;
  const awake = entries.filter(({ isAwake }) => isAwake).length;
  // After a refusal by the broker no slot counts as free, whatever the table says.
  const free = head.notBeforeMs > nowMs ? 0 : Math.max(0, limits.awake - awake);
  return Math.max(0, Math.min(wanting.length, limits.starting) - free - leaving);
}

/** Returns what a waiting session waits for, and which sessions have it; `undefined` if it does not wait. */
export function shortageOf(
  entries: readonly CapacityEntry[],
  entry: CapacityEntry,
  limits: CapacityLimits,
): CapacityShortage | undefined {
  if (!isWaiting(entry)) return undefined;
  const others = entries.filter(({ sessionId }) => sessionId !== entry.sessionId);
  const idsOf = (found: readonly CapacityEntry[]) => found.map(({ sessionId }) => sessionId);
  const starting = others.filter(({ isStarting }) => isStarting);
  const awake = others.filter(({ isAwake }) => isAwake);
  // With a slot among the awake ones it waits for the other slot.
  if (entry.isAwake || (starting.length >= limits.starting && awake.length < limits.awake)) {
    return { limit: "starting", sessionIds: idsOf(starting) };
  }
  return { limit: awake.length >= limits.awake ? "awake" : "broker", sessionIds: idsOf(awake) };
}

/** Returns a session's standing. */
export function standingOf(entries: readonly CapacityEntry[], entry: CapacityEntry): CapacityStanding {
  const { generation } = entry;
  if (!isWaiting(entry)) return { generation, granted: entry.need !== "none" };
  const place = waitingLine(entries).findIndex(({ sessionId }) => sessionId === entry.sessionId) + 1;
  return { generation, granted: false, place };
}

/**
 * Returns the entry of an expired lease, whose holder is about to be asked. @returns `undefined` when the holder was
 * asked often enough
 */
export function expire(entry: CapacityEntry, nowMs: number): CapacityEntry | undefined {
  if (entry.misses >= MAX_MISSES) return undefined;
  return { ...entry, misses: entry.misses + 1, expiresMs: nowMs + MISS_RETRY_MS };
}

export function isWaiting({ need, isStarting }: CapacityEntry): boolean {
  return need === "start" && !isStarting;
}
