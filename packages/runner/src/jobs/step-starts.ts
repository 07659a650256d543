/**
 * Commands of workflows that wait to run until the SessionAgent has stored that their step has begun. A command whose beginning it does
 * not know could run again in a later attempt.
 */
export class StepStarts {
  /** What lets the waiting command of each attempt run. An attempt works on one step at a time. */
  readonly #waiting = new Map<string, { readonly index: number; readonly begin: () => void }>();
  #areAcknowledged = false;

  /** How many attempts wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Whether the SessionAgent acknowledges steps. If it does not, as in older versions, commands run without a wait. */
  set areAcknowledged(areAcknowledged: boolean) {
    this.#areAcknowledged = areAcknowledged;
    if (!areAcknowledged) for (const { begin } of this.#waiting.values()) begin();
  }

  /** Resolves once the step is acknowledged, or `signal` aborts. */
  async wait(attemptId: string, index: number, signal: AbortSignal): Promise<void> {
    if (!this.#areAcknowledged || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(attemptId, { index, begin: resolve });
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    this.#waiting.delete(attemptId);
  }

  acknowledged(attemptId: string, index: number): void {
    const waiting = this.#waiting.get(attemptId);
    if (waiting?.index === index) waiting.begin();
  }
}
