/**
 * The server's clock, by which the times of the API are told. It is estimated from the `Date` of answers, which has whole seconds;
 * a difference below {@link TOLERATED_MS} is within what that and the time that an answer takes explain, and counts as none.
 */
const TOLERATED_MS = 2_500;

export class ServerClock {
  #offsetMs = 0;
  #isKnown = false;

  /** Whether an answer has said what time it is there. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Learns from an answer. @param date its `Date` header */
  learn(date: string | null, receivedMs: number): void {
    const sentMs = date === null ? Number.NaN : Date.parse(date);
    if (Number.isNaN(sentMs)) return;
    this.#isKnown = true;
    const difference = sentMs - receivedMs;
    this.#offsetMs = Math.abs(difference) < TOLERATED_MS ? 0 : difference;
  }

  /** Returns the server's time now, in epoch ms. */
  now(): number {
    return Date.now() + this.#offsetMs;
  }
}
