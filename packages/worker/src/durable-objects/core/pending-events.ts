/**
 * The events of the current transaction that have consequences in other rooms. A room records its events and calls no other room;
 * `consequences.ts` handles them before the transaction commits.
 */
export class PendingEvents<E> {
  #events: E[] = [];

  record(event: E): void {
    this.#events.push(event);
  }

  /** Returns the events since the last call, in order. */
  take(): readonly E[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
