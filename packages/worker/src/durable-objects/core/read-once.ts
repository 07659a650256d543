/**
 * Remembers what a transaction has read, until the next one begins: a transaction asks for the same few rows again and again, and so do
 * its effects. Whoever writes rows forgets what was read of them, and a rollback forgets everything.
 */
import type { Transactions } from "./transactions.ts";

export class ReadOnce<T> {
  readonly #transactions: Pick<Transactions, "epoch">;
  readonly #known = new Map<string, T>();
  /** The epoch in which all this was read. */
  #epoch = 0;

  constructor(transactions: Pick<Transactions, "epoch">) {
    this.#transactions = transactions;
  }

  /** Returns what is known of a key; reads it if nothing is. */
  get(key: string, read: () => T): T {
    const { epoch } = this.#transactions;
    if (epoch !== this.#epoch) this.#known.clear();
    this.#epoch = epoch;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const value = read();
    this.#known.set(key, value);
    return value;
  }

  /** Forgets a key; all of them if it is omitted. */
  forget(key?: string): void {
    if (key === undefined) this.#known.clear();
    else this.#known.delete(key);
  }
}
