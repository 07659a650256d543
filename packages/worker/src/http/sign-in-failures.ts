/**
 * Counts failed attempts to sign in, so that tickets cannot be guessed where the platform has no rate limiter: on one's own machine.
 * Only failures count, so that who opens many links is not refused. A sender may claim any address, so all together are bounded, too.
 */

/** How many attempts may fail in a period, from one address and in all. */
export const MAX_FAILURES = 30;
export const MAX_FAILURES_IN_ALL = 300;
const PERIOD_MS = 60_000;
/** How many addresses are remembered; the first one is forgotten first. */
const MAX_ADDRESSES = 1_000;

/** The failures of one period. */
interface Count {
  /** When the period ends, epoch ms. */
  readonly untilMs: number;
  readonly failures: number;
}

export class SignInFailures {
  readonly #addresses = new Map<string, Count>();
  #all: Count = { untilMs: 0, failures: 0 };

  /** Returns how long an address has to wait until it may try again, in whole seconds; `undefined` if it may. */
  waitS(address: string, nowMs: number): number | undefined {
    const of = this.#addresses.get(address);
    const untilMs = Math.max(
      isOver(of, MAX_FAILURES, nowMs) ? of.untilMs : 0,
      isOver(this.#all, MAX_FAILURES_IN_ALL, nowMs) ? this.#all.untilMs : 0,
    );
    return untilMs === 0 ? undefined : Math.ceil((untilMs - nowMs) / 1000);
  }

  /** Adds an attempt that failed. */
  add(address: string, nowMs: number): void {
    this.#all = increased(this.#all, nowMs);
    this.#addresses.set(address, increased(this.#addresses.get(address), nowMs));
    if (this.#addresses.size <= MAX_ADDRESSES) return;
    const [first] = this.#addresses.keys();
    if (first !== undefined) this.#addresses.delete(first);
  }
}

function isOver(count: Count | undefined, most: number, nowMs: number): count is Count {
  return count !== undefined && count.untilMs > nowMs && count.failures >= most;
}

function increased(count: Count | undefined, nowMs: number): Count {
  if (count === undefined || count.untilMs <= nowMs) return { untilMs: nowMs + PERIOD_MS, failures: 1 };
  return { untilMs: count.untilMs, failures: count.failures + 1 };
}
