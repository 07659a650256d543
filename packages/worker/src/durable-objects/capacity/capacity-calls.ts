/**
 * The calls between a session and the capacity object of its broker. Each call may arrive twice, late or never:
 * sessions number their reports, and the capacity object repeats a notice until it is acknowledged.
 */
import type { CapacityHolders } from "@valet/shared/protocol/capacity";

/** What a session needs of its broker: nothing; a start, which counts as awake, too; or to keep its awake sandbox. */
export type CapacityNeed = "none" | "start" | "awake";

/** A session's current need. */
export interface CapacityReport {
  readonly sessionId: string;
  /** The generation of the sandbox to start, or of the awake one. */
  readonly generation: number;
  /** Numbers the session's reports, so that an older one that arrives late changes nothing. */
  readonly version: number;
  readonly need: CapacityNeed;
  /** How often the full broker has refused this start. */
  readonly refusals: number;
  /**
   * Whether the start replaces a lost sandbox, and so keeps its slot. A session that wakes right after hibernating does
   * not: it may have hibernated to make room for another.
   */
  readonly keepsSlot: boolean;
}

/** A session's standing: granted, or its place in line. */
export interface CapacityStanding {
  readonly generation: number;
  /** Whether the session may start its sandbox, or is counted as awake. */
  readonly granted: boolean;
  /** The session's place in the line for a sandbox, from 1; absent while it does not wait. */
  readonly place?: number;
}

/** A session's answer to the capacity object. */
export interface CapacityState extends CapacityReport {
  /** Since when the session has been idle, epoch ms; `null` when it must not hibernate. */
  readonly idleSinceMs: number | null;
  /** Whether the session is hibernating or terminating. */
  readonly isLeaving: boolean;
}

/** What a waiting session waits for. */
export interface CapacityShortage {
  readonly limit: CapacityHolders["limit"];
  /** The sessions that count against the limit, of all owners: none must be told to another owner. */
  readonly sessionIds: readonly string[];
}

/** The capacity object's methods, called by sessions. */
export interface CapacityCalls {
  /** Returns what a session waits for; `null` if it does not wait. Changes nothing. */
  shortage(sessionId: string): Promise<CapacityShortage | null>;
  /** Records a session's need, renews its lease, and returns its standing. Idempotent. */
  report(report: CapacityReport): Promise<CapacityStanding>;
}

/**
 * A session's methods, called by the capacity object. `name` is the capacity object's own: a session is counted in one
 * only.
 */
export interface CapacityHolder {
  /**
   * Tells a session its standing, or only asks for its need. Idempotent.
   * @returns its current need; `null` when the session is not counted here
   */
  capacity(name: string, standing?: CapacityStanding): Promise<CapacityState | null>;
  /**
   * Asks an idle session to hibernate. Idempotent.
   * @returns whether it hibernates; false when it has work after all
   */
  yieldSlot(name: string): Promise<boolean>;
}

/**
 * Returns the name of a broker's capacity object. The broker of `valet up` has another port after each start, but its
 * sandboxes run on the same machine.
 */
export function capacityName(brokerUrl: string): string {
  const { hostname, host } = new URL(brokerUrl);
  const isThisMachine = hostname === "localhost" || hostname === "[::1]" || /^127\./.test(hostname);
  return isThisMachine ? "localhost" : host;
}
