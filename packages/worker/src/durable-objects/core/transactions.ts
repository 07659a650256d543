export interface TransactionHooks {
  /** Within each outermost transaction, at its end: what follows from its changes. */
  beforeCommit(): void;
  /** After each that has committed, and its effects. */
  onCommit(): void;
  /** After one that failed: whatever is cached of the database is to be read anew. */
  onRollback(): void;
  report(error: unknown): void;
}

export type TransactionalStorage = Pick<DurableObjectStorage, "sql" | "transactionSync">;

/** Runs `work` in a transaction of SQLite. For {@link Transactions}, and for what comes before there is a session: its schema. */
export function inTransaction<T>(storage: Pick<TransactionalStorage, "transactionSync">, work: () => T): T {
  return storage.transactionSync(work);
}

/**
 * One synchronous transaction for a state change and everything that describes it: rows, spans, timers, the projection.
 * What must only happen once it holds (sending, calling, telling clients) waits for the commit.
 */
export class Transactions {
  readonly #storage: Pick<TransactionalStorage, "transactionSync">;
  readonly #hooks: TransactionHooks;
  #effects: (() => void)[] | undefined;

  constructor(storage: Pick<TransactionalStorage, "transactionSync">, hooks: TransactionHooks) {
    this.#storage = storage;
    this.#hooks = hooks;
  }

  /** Whether a transaction is under way. */
  get isRunning(): boolean {
    return this.#effects !== undefined;
  }

  /**
   * Runs `work` in a transaction, or as part of the one that is under way.
   * @throws what `work` throws; then nothing of it has happened
   */
  run<T>(work: () => T): T {
    if (this.#effects !== undefined) return work();
    const effects: (() => void)[] = [];
    this.#effects = effects;
    let result: T;
    try {
      result = inTransaction(this.#storage, () => {
        const value = work();
        this.#hooks.beforeCommit();
        return value;
      });
    } catch (error) {
      this.#effects = undefined;
      this.#hooks.onRollback();
      throw error;
    }
    this.#effects = undefined;
    for (const effect of [...effects, () => this.#hooks.onCommit()]) {
      // One that fails must not keep the others from happening, nor its caller from its answer: the state says they have.
      try {
        effect();
      } catch (error) {
        this.#hooks.report(error);
      }
    }
    return result;
  }

  /** Runs `effect` once the transaction under way has committed; at once where there is none. Effects keep their order. */
  afterCommit(effect: () => void): void {
    if (this.#effects === undefined) effect();
    else this.#effects.push(effect);
  }
}
