export interface TransactionHooks {
  /** Runs at the end of each outermost transaction, within it: handles the consequences of its changes. */
  beforeCommit(): void;
  /** Runs after each commit, after the effects. */
  onCommit(): void;
  /** Runs after a rollback: caches of the database must be read again. */
  onRollback(): void;
  report(error: unknown): void;
}

/** The object's database has been deleted. */
class DatabaseDeletedError extends Error {
  override readonly name = "DatabaseDeletedError";
}

export type TransactionalStorage = Pick<DurableObjectStorage, "sql" | "transactionSync">;

/** Runs `work` in a transaction of SQLite. Only {@link Transactions} and the migrations of the schema use it. */
export function inTransaction<T>(storage: Pick<TransactionalStorage, "transactionSync">, work: () => T): T {
  return storage.transactionSync(work);
}

/**
 * Runs synchronous transactions. One transaction holds a state change and everything that describes it: rows, spans, timers, the
 * projection. Effects (sends, calls, events to clients) run after the commit.
 */
export class Transactions {
  readonly #storage: Pick<TransactionalStorage, "transactionSync">;
  readonly #hooks: TransactionHooks;
  #effects: (() => void)[] | undefined;
  #isOver = false;
  #epoch = 0;
  #undos: (() => void)[] = [];

  constructor(storage: Pick<TransactionalStorage, "transactionSync">, hooks: TransactionHooks) {
    this.#storage = storage;
    this.#hooks = hooks;
  }

  /** Whether a transaction is running. */
  get isRunning(): boolean {
    return this.#effects !== undefined;
  }

  /** Grows when a transaction begins and when one, or a part of one, is rolled back: what was read before may be out of date. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether {@link end} was called. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends all transactions, before the database is deleted: what is still under way may no longer write. */
  end(): void {
    this.#isOver = true;
  }

  /**
   * Runs `work` in a transaction, or as part of the running one.
   * @throws what `work` throws, after a rollback; DatabaseDeletedError once transactions have ended
   */
  run<T>(work: () => T): T {
    if (this.#effects !== undefined) return work();
    if (this.#isOver) throw new DatabaseDeletedError();
    const effects: (() => void)[] = [];
    this.#effects = effects;
    this.#epoch++;
    let result: T;
    try {
      result = inTransaction(this.#storage, () => {
        const value = work();
        this.#hooks.beforeCommit();
        return value;
      });
    } catch (error) {
      this.#effects = undefined;
      this.#undo(0);
      this.#hooks.onRollback();
      throw error;
    }
    this.#effects = undefined;
    this.#undos = [];
    for (const effect of [...effects, () => this.#hooks.onCommit()]) {
      // An error of one effect must not prevent the others or the caller's answer: the state is committed.
      try {
        effect();
      } catch (error) {
        this.#hooks.report(error);
      }
    }
    return result;
  }

  /**
   * Runs `work` within the running transaction. If it throws, what it wrote and its effects are undone, and the transaction may go on.
   * @throws what `work` throws
   */
  runPart<T>(work: () => T): T {
    const effects = this.#effects ?? [];
    const [effectsBefore, undosBefore] = [effects.length, this.#undos.length];
    try {
      return inTransaction(this.#storage, work);
    } catch (error) {
      effects.length = effectsBefore;
      this.#undo(undosBefore);
      throw error;
    }
  }

  /** Undoes what was changed in memory since `undos` had this length. What was read since then may have been undone as well. */
  #undo(length: number): void {
    this.#epoch++;
    for (const undo of this.#undos.splice(length).reverse()) undo();
  }

  /** Runs `effect` after the commit of the running transaction, or at once if there is none. Effects run in their order. */
  afterCommit(effect: () => void): void {
    if (this.#effects === undefined) effect();
    else this.#effects.push(effect);
  }

  /**
   * Runs `undo` if the running transaction is rolled back: for what a transaction changes in memory besides the database. The last
   * one runs first; none may throw.
   */
  onRollback(undo: () => void): void {
    if (this.#effects !== undefined) this.#undos.push(undo);
  }
}
