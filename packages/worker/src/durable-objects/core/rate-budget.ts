/** A token bucket: so much at once, and so much a second after that. Kept in memory, which an object that is flooded keeps, too. */
export interface BudgetLimits {
  /** What may be spent at once. */
  readonly burst: number;
  /** What comes back in a second. */
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

  /** Spends `cost`. @returns false, and spends nothing, where that is more than is left */
  spend(cost: number, nowMs: number): boolean {
    const { burst, perSecond } = this.#limits;
    // A clock that was set back brings nothing back, and takes nothing away.
    const elapsedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#left = Math.min(burst, this.#left + (elapsedMs * perSecond) / 1000);
    this.#atMs = nowMs;
    if (cost > this.#left) return false;
    this.#left -= cost;
    return true;
  }
}
