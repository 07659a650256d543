/**
 * Who may start a sandbox, and who waits. Pure: from what sessions have reported to the leases that are due and the places of
 * everybody else.
 *
 * A session that wants a sandbox waits in one line, first come, first served. At its head it is given two things at once: a slot
 * among the sandboxes that are awake, which it keeps until its sandbox has ended, and a slot among those that are starting,
 * which it keeps until its runner is ready. A session whose sandbox was lost has kept the first and waits for the second only,
 * so that it may pass those who wait for a sandbox to fall asleep, and nobody else.
 */

import { LIMITS } from "@valet/shared/limits";
import type { CapacityLimits } from "../../config.ts";
import type { CapacityNeed, CapacityReport, CapacityStanding } from "./capacity-calls.ts";

/** What is known of a session that needs, or lately needed, a sandbox. */
export interface CapacityEntry {
  readonly sessionId: string;
  readonly generation: number;
  /** Of its last report. */
  readonly version: number;
  readonly need: CapacityNeed;
  /** Its number in the line: that of its first report of this start. Kept by a start that the broker refused. */
  readonly seq: number;
  /** Whether it has a slot among those that are awake. */
  readonly isAwake: boolean;
  /** Whether it has a slot among those that are starting. */
  readonly isStarting: boolean;
  readonly refusals: number;
  /** The broker was full: it is not asked for this start again before then, or before another sandbox has ended. Epoch ms. */
  readonly notBeforeMs: number;
  /** When the lease expires: then the session is asked whether it is still there. Epoch ms. */
  readonly expiresMs: number;
  /** How often it has been asked since it was last heard of. */
  readonly misses: number;
}

/** How long a session counts without being asked. */
export const LEASE_MS = 10 * 60_000;
/** A session that waits or starts moves soon: its lease is shorter. */
export const START_LEASE_MS = LIMITS.startLeaseMs;
/** A holder that gives no answer is asked again after this long, and has lost its lease when it gave none so many times. */
export const MISS_RETRY_MS = LIMITS.leaseRetryMs;
export const MAX_MISSES = 3;
/** After a refusal of the broker; it doubles. */
const REFUSED_MS = 2000;
const MAX_REFUSED_MS = 30_000;

/**
 * What an entry becomes with a report. A report that is not newer than the last one only renews the lease.
 * @param nextSeq the next number in the line
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
  // It is awake whatever we think of it: its sandbox is there.
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

/** Those who wait, in the order of the line. */
export function waitingLine(entries: readonly CapacityEntry[]): CapacityEntry[] {
  return entries.filter(isWaiting).toSorted((a, b) => a.seq - b.seq);
}

/** The entries that are given their slots now, in order. */
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
 * How many sandboxes have to fall asleep so that those who wait can go on: at most as many as may start at once.
 * @param leaving how many are falling asleep already
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
  // What the broker has no room for is not free, whatever our own count says.
  const free = head.notBeforeMs > nowMs ? 0 : Math.max(0, limits.awake - awake);
  return Math.max(0, Math.min(wanting.length, limits.starting) - free - leaving);
}

/** Where a session stands. */
export function standingOf(entries: readonly CapacityEntry[], entry: CapacityEntry): CapacityStanding {
  const { generation } = entry;
  if (!isWaiting(entry)) return { generation, granted: entry.need !== "none" };
  const place = waitingLine(entries).findIndex(({ sessionId }) => sessionId === entry.sessionId) + 1;
  return { generation, granted: false, place };
}

/** The lease has expired, and its holder is about to be asked. @returns `undefined` where it was asked often enough */
export function expire(entry: CapacityEntry, nowMs: number): CapacityEntry | undefined {
  if (entry.misses >= MAX_MISSES) return undefined;
  return { ...entry, misses: entry.misses + 1, expiresMs: nowMs + MISS_RETRY_MS };
}

export function isWaiting({ need, isStarting }: CapacityEntry): boolean {
  return need === "start" && !isStarting;
}
