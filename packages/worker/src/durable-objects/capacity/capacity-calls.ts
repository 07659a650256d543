/**
 * What a session and the capacity object of its broker ask of each other. Each call may come twice, late or never: reports are
 * numbered by the session, and whatever the capacity object tells is told again until it is confirmed.
 */

/**
 * What a session needs of its broker: nothing; a sandbox to start, from which on it counts as awake too; or to stay awake with
 * the sandbox that it has.
 */
export type CapacityNeed = "none" | "start" | "awake";

/** What a session needs from now on. */
export interface CapacityReport {
  readonly sessionId: string;
  /** Of the sandbox that it is about: the one to be started, or the one that is awake. */
  readonly generation: number;
  /** Counts the session's reports: an older one that arrives late changes nothing. */
  readonly version: number;
  readonly need: CapacityNeed;
  /** How often the broker has refused this start because it is full. */
  readonly refusals: number;
  /**
   * Whether a start takes the place of a sandbox that was lost, and so keeps its slot. A session that wakes again as soon as it
   * sleeps has given its slot back: it may have slept for another.
   */
  readonly keepsSlot: boolean;
}

/** Where a session stands with what it needs. */
export interface CapacityStanding {
  readonly generation: number;
  /** Whether the sandbox may be started, or is counted as awake. */
  readonly granted: boolean;
  /** Its place among the sessions that wait for a sandbox, from 1; only while it waits. */
  readonly place?: number;
}

/** What a session says of itself when the capacity object asks. */
export interface CapacityState extends CapacityReport {
  /** Since when it has had nothing to do, epoch ms; `null` where it must not be put to sleep. */
  readonly idleSinceMs: number | null;
  /** Whether it is on its way to sleep, or to its end. */
  readonly isLeaving: boolean;
}

/** The capacity object, as sessions call it. */
export interface CapacityCalls {
  /** Takes what a session needs, and says where it stands. Idempotent; it renews the session's lease. */
  report(report: CapacityReport): Promise<CapacityStanding>;
}

/** A session, as the capacity object calls it. `name` is the capacity object's own: a session counts in one only. */
export interface CapacityHolder {
  /**
   * Tells a session where it stands, or only asks. Idempotent.
   * @returns what it needs by now; `null` where nothing of it counts here
   */
  capacity(name: string, standing?: CapacityStanding): Promise<CapacityState | null>;
  /**
   * Asks a session that is idle to hibernate. Idempotent.
   * @returns whether it is on its way; false where it has something to do after all
   */
  yieldSlot(name: string): Promise<boolean>;
}

/**
 * The name of a broker's capacity object. The broker of `valet up` listens on another port after each start and runs its
 * sandboxes on the same machine.
 */
export function capacityName(brokerUrl: string): string {
  const { hostname, host } = new URL(brokerUrl);
  const isThisMachine = hostname === "localhost" || hostname === "[::1]" || /^127\./.test(hostname);
  return isThisMachine ? "localhost" : host;
}
