/** Answers the capacity object of the session's broker: what the session needs, and whether it makes room for another. */
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
  readonly lease: Pick<CapacityLease, "take" | "stateFor">;
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

  /** Takes where the session stands, and returns what it needs by now; `null` where it counts elsewhere. May come twice, or late. */
  answer(name: string, standing?: CapacityStanding): CapacityState | null {
    const { state, transactions, lease } = this.#options;
    if (standing !== undefined) transactions.run(() => lease.take(name, standing));
    const report = lease.stateFor(name);
    if (report === null) return null;
    const { id: sessionId } = state.record;
    return { ...report, sessionId, idleSinceMs: this.#idleSinceMs ?? null, isLeaving: this.#isLeaving };
  }

  /**
   * Hibernates the session for another that waits for a sandbox, if it has nothing to do and nothing runs in the background.
   * @returns whether it is on its way
   */
  async yieldSlot(name: string): Promise<boolean> {
    const { transactions, lease, lifecycle, backgroundCheck } = this.#options;
    if (lease.stateFor(name) === null) return false;
    if (this.#isLeaving) return true;
    if (this.#idleSinceMs === undefined || (await backgroundCheck.count()) !== 0) return false;
    // Work may have come while the runner was asked.
    if (this.#idleSinceMs === undefined) return false;
    return transactions.run(() => lifecycle.hibernate("capacity", undefined)).ok;
  }

  /** Since when the session may be put to sleep; a hibernate that failed has its own time to be tried again. */
  get #idleSinceMs(): number | undefined {
    const { state, scheduler, now } = this.#options;
    return (state.record.sleepProblem?.retryMs ?? 0) > now() ? undefined : scheduler.idleSinceMs;
  }

  get #isLeaving(): boolean {
    const { state } = this.#options.state.record;
    return state === "hibernating" || state === "terminating";
  }
}
