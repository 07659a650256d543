/**
 * Calls to other services that the object repeats until they are acknowledged, also when it dies meanwhile. A call is a row,
 * written in the transaction that decides on it. Before each try, the try is counted and the timer of the next one is set. The
 * acknowledgement removes the row in the transaction that applies the answer. The callee may receive a call twice and must be
 * idempotent: it recognises the call by an id in its payload.
 *
 * Calls with the same key are made one at a time, in the order in which they were added. Calls with different keys are independent.
 */
import type { DurableCallKind, TimerHandler, Timers } from "./timers.ts";
import type { Transactions } from "./transactions.ts";

export interface DurableCall<P> {
  readonly key: string;
  /** Plain data, stored as JSON. */
  readonly payload: P;
  /** The number of this try, from 1. */
  readonly tries: number;
}

/** How the calls of one kind are made, and what follows from their answers. */
export interface DurableCallRules<P, A> {
  /** Which calls of a key are delivered: all of them, or only the newest, which replaces a waiting one. */
  readonly delivers: "all" | "newest";
  /** The delay before the first try of a call, in ms, in which newer calls may replace it. */
  readonly gatherMs?: number;
  /** The call is retried if no answer arrives within this time, in ms. A later answer still counts. */
  readonly timeoutMs: number;
  /**
   * The wait after each failed try, in ms, instead of one that doubles. It is longer or shorter by a fifth at most, and applies after a
   * try without an answer, too.
   */
  readonly waitsMs?: readonly number[];
  /** The longest wait between two tries, in ms. */
  readonly longestWaitMs?: number;
  /** The maximal number of tries. Unlimited by default. */
  readonly maxTries?: number;
  /** Makes the call, outside any transaction. Two tries of one call may overlap. A rejected promise leads to a retry. */
  call(call: DurableCall<P>): Promise<A>;
  /**
   * Applies the answer, in the transaction that removes the row. If it throws, the error is reported and the call is retried.
   * @returns "retry" if the answer is not an acknowledgement
   */
  settle(answer: A, call: DurableCall<P>): "done" | "retry";
  /** Runs after the last try has failed, in the transaction that removes the row. */
  giveUp?(call: DurableCall<P>): void;
}

/** What the calls of all kinds need. */
export interface DurableCallOptions {
  readonly sql: SqlStorage;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly now: () => number;
  /** The wait after the first failed try, in ms; it doubles. */
  readonly retryMs: number;
  /** For the jitter: 0 to 1. */
  readonly random?: () => number;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

const LONGEST_WAIT_MS = 10 * 60_000;

interface Row {
  readonly seq: number;
  readonly payload: string;
  readonly tries: number;
  /** 1 while a try is running. */
  readonly calling: number;
}

/** The calls of one kind. Methods that change something are called within a transaction. */
export class DurableCalls<P, A> {
  readonly #kind: DurableCallKind;
  readonly #options: DurableCallOptions;
  readonly #rules: DurableCallRules<P, A>;
  /** The highest row number since the object started. Numbers are not reused, so that a late answer never matches another call. */
  #lastSeq = 0;

  constructor(kind: DurableCallKind, options: DurableCallOptions, rules: DurableCallRules<P, A>) {
    this.#kind = kind;
    this.#options = options;
    this.#rules = rules;
  }

  /** Handles the timers of this kind. */
  readonly onTimer: TimerHandler = (key) => this.#begin(key);

  /** Adds a call. @param delayMs the delay before the first try, if no other call of this key is waiting */
  add(key: string, payload: P, delayMs = this.#rules.gatherMs ?? 0): void {
    const last = this.#last(key);
    const text = JSON.stringify(payload);
    const replaces = this.#rules.delivers === "newest" && last?.calling === 0;
    if (replaces && text === last.payload) return;
    this.#lastSeq = Math.max(this.#lastSeq, last?.seq ?? 0) + 1;
    if (replaces) {
      // The wait stays as it is: a newer payload does not make the callee reachable. The number does not: an earlier try of the
      // older payload may still be answered.
      this.#sql.exec(
        "UPDATE durable_calls SET seq = ?, payload = ? WHERE kind = ? AND key = ? AND seq = ?",
        this.#lastSeq,
        text,
        this.#kind,
        key,
        last.seq,
      );
      return;
    }
    this.#sql.exec("INSERT INTO durable_calls VALUES (?, ?, ?, ?, 0, 0)", this.#kind, key, this.#lastSeq, text);
    if (last === undefined) this.#schedule(key, delayMs);
  }

  /** Returns whether a call of this key is not acknowledged yet. */
  has(key: string): boolean {
    return this.#first(key) !== undefined;
  }

  /** Returns whether this is the newest try of a call that is not acknowledged: a try that was slow to begin may be late. */
  isCurrent({ key, payload, tries }: DurableCall<P>): boolean {
    const first = this.#first(key);
    return first?.tries === tries && first.payload === JSON.stringify(payload);
  }

  /** Removes the calls of a key. An answer that arrives later is ignored. */
  drop(key: string): void {
    this.#sql.exec("DELETE FROM durable_calls WHERE kind = ? AND key = ?", this.#kind, key);
    this.#options.timers.clear(this.#kind, key);
  }

  /** Returns the calls that are not acknowledged, by key and in their order. */
  waiting(): Omit<DurableCall<P>, "tries">[] {
    const rows = this.#sql.exec("SELECT key, payload FROM durable_calls WHERE kind = ? ORDER BY key, seq", this.#kind);
    return rows
      .toArray()
      .map(({ key, payload }) => ({ key: key as string, payload: JSON.parse(payload as string) as P }));
  }

  /** Retries the calls whose answers were lost because the object left the memory. Called when the object starts. */
  resume(): void {
    const { timers, now } = this.#options;
    for (const { key, tries, calling } of this.#firsts()) {
      const dueMs = timers.dueMs(this.#kind, key) ?? Infinity;
      // The wait also applies to a call that crashes the object each time.
      const resumeMs = now() + (tries > 1 ? this.#waitMs(tries - 1) : 0);
      if (calling === 1 || dueMs === Infinity) timers.set(this.#kind, Math.min(dueMs, resumeMs), { key });
    }
  }

  /**
   * Returns the first call of each key; only that one may be running. Thousands of calls may wait behind it, so each query reads one row
   * and continues at the next key.
   */
  *#firsts(): Generator<Pick<Row, "tries" | "calling"> & { readonly key: string }> {
    const query =
      "SELECT key, tries, calling FROM durable_calls WHERE kind = ? AND (key, seq) > (?, ?) ORDER BY key, seq LIMIT 1";
    let after: readonly [key: string, seq: number] = ["", -1];
    for (;;) {
      const [first] = this.#sql.exec(query, this.#kind, ...after).toArray() as unknown as (Row & { key: string })[];
      if (first === undefined) return;
      yield first;
      after = [first.key, Number.MAX_SAFE_INTEGER];
    }
  }

  #schedule(key: string, delayMs: number): void {
    const { timers, now } = this.#options;
    if (delayMs > 0) timers.set(this.#kind, now() + delayMs, { key });
    else this.#begin(key);
  }

  #begin(key: string): void {
    const { timers, transactions, now, background } = this.#options;
    const row = this.#next(key);
    if (row === undefined) return;
    if (row.tries >= this.#maxTries) return this.#giveUp(key, row);
    this.#lastSeq = Math.max(this.#lastSeq, row.seq);
    const begun = { ...row, tries: row.tries + 1, calling: 1 };
    this.#update(key, begun);
    const { timeoutMs, waitsMs } = this.#rules;
    const waitMs = waitsMs === undefined ? 0 : this.#waitMs(begun.tries);
    timers.set(this.#kind, now() + timeoutMs + waitMs, { key });
    transactions.afterCommit(() => background(this.#make(row.seq, toCall<P>(key, begun))));
  }

  /** Never rejects. */
  async #make(seq: number, call: DurableCall<P>): Promise<void> {
    const { transactions, report } = this.#options;
    try {
      const answer = await this.#rules.call(call);
      if (transactions.run(() => this.#settle(seq, call, answer)) === "done") return;
    } catch (error) {
      report(error);
    }
    try {
      transactions.run(() => this.#failed(seq, call));
    } catch (error) {
      // The timer that was set before the call is still there.
      report(error);
    }
  }

  #settle(seq: number, call: DurableCall<P>, answer: A): "done" | "retry" {
    const { key } = call;
    if (this.#row(key, seq) === undefined) return "done";
    if (this.#rules.settle(answer, call) === "retry") return "retry";
    this.#remove(key, seq);
    return "done";
  }

  #failed(seq: number, call: DurableCall<P>): void {
    const { timers, now } = this.#options;
    const { key, tries } = call;
    const row = this.#row(key, seq);
    // A later try of the same call may be under way.
    if (row === undefined || row.tries !== tries) return;
    if (tries >= this.#maxTries) return this.#giveUp(key, row);
    this.#update(key, { ...row, calling: 0 });
    timers.set(this.#kind, now() + this.#waitMs(tries), { key });
  }

  #giveUp(key: string, row: Row): void {
    this.#rules.giveUp?.(toCall<P>(key, row));
    this.#remove(key, row.seq);
  }

  /** Removes a call, and begins the next of its key. */
  #remove(key: string, seq: number): void {
    this.#sql.exec("DELETE FROM durable_calls WHERE kind = ? AND key = ? AND seq = ?", this.#kind, key, seq);
    if (this.#first(key) === undefined) this.#options.timers.clear(this.#kind, key);
    else this.#schedule(key, this.#rules.gatherMs ?? 0);
  }

  /** Returns the next call of a key. */
  #next(key: string): Row | undefined {
    const first = this.#first(key);
    if (first === undefined || this.#rules.delivers === "all") return first;
    const newest = this.#last(key) as Row;
    if (newest.seq === first.seq) return first;
    this.#sql.exec("DELETE FROM durable_calls WHERE kind = ? AND key = ? AND seq < ?", this.#kind, key, newest.seq);
    // It takes over the wait, and has at least one try of its own.
    return { ...newest, tries: Math.min(first.tries, this.#maxTries - 1) };
  }

  #first(key: string): Row | undefined {
    return this.#rows("WHERE kind = ? AND key = ? ORDER BY seq LIMIT 1", key)[0];
  }

  #last(key: string): Row | undefined {
    return this.#rows("WHERE kind = ? AND key = ? ORDER BY seq DESC LIMIT 1", key)[0];
  }

  #row(key: string, seq: number): Row | undefined {
    return this.#rows("WHERE kind = ? AND key = ? AND seq = ?", key, seq)[0];
  }

  #rows(where: string, ...values: SqlStorageValue[]): Row[] {
    const query = `SELECT seq, payload, tries, calling FROM durable_calls ${where}`;
    return this.#sql.exec(query, this.#kind, ...values).toArray() as unknown as Row[];
  }

  #update(key: string, { seq, payload, tries, calling }: Row): void {
    this.#sql.exec(
      "UPDATE durable_calls SET payload = ?, tries = ?, calling = ? WHERE kind = ? AND key = ? AND seq = ?",
      payload,
      tries,
      calling,
      this.#kind,
      key,
      seq,
    );
  }

  /** The wait after so many tries: as the rules say, or doubling up to the longest, with a fifth of jitter to either side. */
  #waitMs(tries: number): number {
    const { retryMs, random = Math.random } = this.#options;
    const { longestWaitMs = LONGEST_WAIT_MS, waitsMs } = this.#rules;
    const waitMs = waitsMs?.[tries - 1] ?? Math.min(retryMs * 2 ** (tries - 1), longestWaitMs);
    return waitMs * (0.8 + 0.4 * random());
  }

  get #maxTries(): number {
    return this.#rules.maxTries ?? Infinity;
  }

  get #sql(): SqlStorage {
    return this.#options.sql;
  }
}

function toCall<P>(key: string, { payload, tries }: Pick<Row, "payload" | "tries">): DurableCall<P> {
  return { key, payload: JSON.parse(payload) as P, tries };
}
