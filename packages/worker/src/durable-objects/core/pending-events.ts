/**
 * What happened in the transaction under way that has consequences in other rooms. A room records its events and calls nobody:
 * `consequences.ts` draws what follows from them before the transaction commits.
 */
export class PendingEvents<E> {
  #events: E[] = [];

  record(event: E): void {
    this.#events.push(event);
  }

  /** Returns what was recorded since this was last asked, in order. */
  take(): readonly E[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
