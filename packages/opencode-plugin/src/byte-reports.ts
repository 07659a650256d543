/** Reports that a provider still sends bytes, text or not. A report is never waited for, so that it cannot delay the stream. */

/** How often a report is sent at most: what the runner knows is this old at most while bytes arrive. */
const INTERVAL_MS = 1_000;

export class ByteReports {
  readonly #send: (atMs: number) => Promise<void>;
  readonly #now: () => number;
  #reportedMs: number;
  #isSending = false;

  /**
   * @param sinceMs when the response began, epoch ms, which is reported by other means
   * @param send must not reject
   */
  constructor(sinceMs: number, send: (atMs: number) => Promise<void>, now: () => number = Date.now) {
    this.#reportedMs = sinceMs;
    this.#send = send;
    this.#now = now;
  }

  /** Some bytes have arrived. */
  heard(): void {
    const nowMs = this.#now();
    if (this.#isSending || nowMs - this.#reportedMs < INTERVAL_MS) return;
    this.#reportedMs = nowMs;
    this.#isSending = true;
    void this.#send(nowMs).then(() => {
      this.#isSending = false;
    });
  }
}
