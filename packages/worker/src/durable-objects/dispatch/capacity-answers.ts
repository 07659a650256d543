/** Answers calls of the capacity object: what the session needs, and whether it hibernates to make room for another. */
import type { CapacityStanding, CapacityState } from "../capacity/capacity-calls.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Transactions } from "../core/transactions.ts";
import type { BackgroundCheck } from "../link/background-check.ts";
import type { CapacityLease } from "../sandbox/capacity-lease.ts";
import type { SandboxLifecycle } from "../sandbox/sandbox-lifecycle.ts";
import type { Scheduler } from "./scheduler.ts";

export interface CapacityAnswersOptions {
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly lease: Pick<CapacityLease, "onStanding" | "needFor">;
  readonly scheduler: Pick<Scheduler, "idleSinceMs">;
  readonly lifecycle: Pick<SandboxLifecycle, "hibernate">;
  readonly backgroundCheck: Pick<BackgroundCheck, "count">;
  readonly now: () => number;
}

export class CapacityAnswers {
  readonly #options: CapacityAnswersOptions;

  constructor(options: CapacityAnswersOptions) {
    this.#options = options;
  }

  /**
   * Applies the session's standing, and returns what it needs now; `null` if another capacity object counts the session.
   * Idempotent; a late call changes nothing.
   */
  answer(name: string, standing?: CapacityStanding): CapacityState | null {
    const { state, transactions, lease } = this.#options;
    if (standing !== undefined) transactions.run(() => lease.onStanding(name, standing));
    const report = lease.needFor(name);
    if (report === null) return null;
    const { id: sessionId } = state.record;
    return { ...report, sessionId, idleSinceMs: this.#idleSinceMs ?? null, isLeaving: this.#isLeaving };
  }

  /**
   * Hibernates the session for another that waits for a sandbox, unless it has work or background processes.
   * @returns whether it is hibernating, or ending
   */
  async yieldSlot(name: string): Promise<boolean> {
    const { transactions, lease, lifecycle, backgroundCheck } = this.#options;
    if (lease.needFor(name) === null) return false;
    if (this.#isLeaving) return true;
    if (this.#idleSinceMs === undefined || (await backgroundCheck.count()) !== 0) return false;
    // Work may have arrived before the runner answered.
    if (this.#idleSinceMs === undefined) return false;
    return transactions.run(() => lifecycle.hibernate("capacity")).ok;
  }

  /** Since when the session has been idle and may hibernate; `undefined` while a failed hibernate waits for its retry. */
  get #idleSinceMs(): number | undefined {
    const { state, scheduler, now } = this.#options;
    return (state.record.sleepProblem?.retryMs ?? 0) > now() ? undefined : scheduler.idleSinceMs;
  }

  get #isLeaving(): boolean {
    const { state } = this.#options.state.record;
    return state === "hibernating" || state === "terminating";
  }
}
