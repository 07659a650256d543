/** A token bucket. It is kept in memory only, since an object that is flooded is not evicted. */
export interface BudgetLimits {
  /** The capacity of the bucket. */
  readonly burst: number;
  /** How much is refilled in a second. */
  readonly perSecond: number;
}

export class RateBudget {
  readonly #limits: BudgetLimits;
  #left: number;
  #atMs: number | undefined;

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
    this.#left = limits.burst;
  }

  /** Spends `cost`. @returns false, and spends nothing, if less than that is left */
  spend(cost: number, nowMs: number): boolean {
    const { burst, perSecond } = this.#limits;
    // A clock that was set back refills nothing, and removes nothing.
    const elapsedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#left = Math.min(burst, this.#left + (elapsedMs * perSecond) / 1000);
    this.#atMs = nowMs;
    if (cost > this.#left) return false;
    this.#left -= cost;
    return true;
  }
}
