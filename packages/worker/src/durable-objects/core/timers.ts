/**
 * Any number of timers over the single alarm of a Durable Object. They survive evictions and crashes.
 *
 * An alarm costs a commit before that of the transaction that needs it, and an invocation. So an object that is in memory runs the
 * timers that are due soon by itself, and has an alarm only a little later, which runs them if the object has died meanwhile.
 */

/** Handles a timer that is due. It is synchronous: it starts network calls, but does not wait for them. */
export type TimerHandler = (key: string, payload: string) => void;

/** The kinds of durable calls (durable-call.ts). */
export type DurableCallKind =
  | "projection"
  | "child-request"
  | "child-end"
  | "parent-report"
  | "capacity-report"
  | "orphan"
  | "webhook";

/** Every kind of timer that a session's object sets. Each has a handler: `compose.ts` does not compile otherwise. */
export type TimerKind =
  | DurableCallKind
  // The queue and its attempts.
  | "collect"
  | "queue"
  | "accept"
  | "abort"
  | "stuck"
  | "sign"
  // The link to the runner.
  | "grace"
  | "link"
  // The sandbox.
  | "capacity"
  | "operation"
  | "start"
  | "recover"
  | "idle"
  | "sleep"
  | "stop"
  | "check"
  // Deletion.
  | "retention"
  | "deletion";

export type TimerHandlers<K extends TimerKind = TimerKind> = Readonly<Record<K, TimerHandler>>;

export interface TimersOptions {
  readonly storage: Pick<DurableObjectStorage, "sql" | "setAlarm">;
  readonly now: () => number;
  /** Runs a handler and the removal of its timer in one transaction. */
  readonly transact: (work: () => void) => void;
  /** Runs `undo` if the running transaction, or the running part of it, is rolled back. */
  readonly onRollback: (undo: () => void) => void;
  /** Returns when the alarm must fire for others than timers, epoch ms. */
  readonly alsoDueMs: () => number | undefined;
  /** Runs `work` after a while, in ms, if the object is still in memory. Without it the alarm runs every timer. */
  readonly later?: (work: () => void, delayMs: number) => void;
  readonly report: (error: unknown) => void;
}

/** The delay after which a timer whose handler threw runs again, in ms: soon, but not in a busy loop. */
const AFTER_ERROR_MS = 5000;

/** A timer that is due within this time runs without the alarm, in ms: short, since the object cannot hibernate meanwhile. */
const SOON_MS = 1000;
/** How much later than such a timer the alarm may be, in ms. */
const BEHIND_MS = 5000;

export class Timers {
  readonly #options: TimersOptions;
  readonly #handlers = new Map<string, TimerHandler>();
  /**
   * The stored timers, and at times some that are not stored any more. Most timers that a transaction clears or reads are not set,
   * and for those it asks no database.
   */
  #known: Set<string> | undefined;
  /** When the alarm fires, epoch ms; unknown until it has been set once since the object started. */
  #armedMs: number | undefined;
  /** The earliest timer that was set since then, epoch ms. */
  #newestDueMs = Infinity;
  /** When the object itself runs timers next, epoch ms. */
  #soonMs = Infinity;

  constructor(options: TimersOptions) {
    this.#options = options;
  }

  /** Adds handlers. A stored timer of a kind without a handler is dropped when it is due. */
  handle(handlers: Partial<TimerHandlers>): void {
    for (const [kind, handler] of Object.entries(handlers)) this.#handlers.set(kind, handler);
  }

  /** Sets a timer, or moves it. */
  set(kind: TimerKind, dueMs: number, { key = "", payload = "" }: { key?: string; payload?: string } = {}): void {
    const due = Math.ceil(dueMs);
    this.#sql.exec(
      `INSERT INTO timers (kind, key, due_ms, payload) VALUES (?, ?, ?, ?)
       ON CONFLICT (kind, key) DO UPDATE SET due_ms = excluded.due_ms, payload = excluded.payload
       WHERE due_ms <> excluded.due_ms OR payload <> excluded.payload`,
      kind,
      key,
      due,
      payload,
    );
    this.#newestDueMs = Math.min(this.#newestDueMs, due);
    this.#maybeSet.add(nameOf(kind, key));
  }

  clear(kind: TimerKind, key = ""): void {
    if (!this.#maybeSet.has(nameOf(kind, key))) return;
    this.#forget(kind, key);
    this.#sql.exec("DELETE FROM timers WHERE kind = ? AND key = ?", kind, key);
  }

  dueMs(kind: TimerKind, key = ""): number | undefined {
    if (!this.#maybeSet.has(nameOf(kind, key))) return undefined;
    const [row] = this.#sql.exec("SELECT due_ms FROM timers WHERE kind = ? AND key = ?", kind, key).toArray();
    return row === undefined ? undefined : (row.due_ms as number);
  }

  /** Sets the alarm to the earliest timer. An alarm that is set earlier stays: it finds nothing due, and sets the next one. */
  arm(): void {
    // Of the timers that were there when it was set, none is earlier.
    const timerMs = this.#armedMs === undefined ? this.#firstDueMs : this.#newestDueMs;
    this.#newestDueMs = Infinity;
    const first = Math.min(this.#runSoon(timerMs), this.#options.alsoDueMs() ?? Infinity);
    // An overdue timer is due now, since `setAlarm` refuses some times, such as 0.
    const due = Math.max(first, this.#options.now());
    if (due === Infinity || (this.#armedMs !== undefined && this.#armedMs <= due)) return;
    this.#armedMs = due;
    // If the storage fails, the platform resets the object, so reporting is enough.
    this.#options.storage.setAlarm(due).catch(this.#options.report);
  }

  /**
   * Runs the timers that are due then without the alarm, if that is soon. Later ones are armed after that.
   * @returns when the alarm must run them
   */
  #runSoon(dueMs: number): number {
    const { later, now } = this.#options;
    const delayMs = Math.max(0, dueMs - now());
    if (later === undefined || delayMs > SOON_MS) return dueMs;
    if (dueMs < this.#soonMs) {
      this.#soonMs = dueMs;
      later(() => this.#onSoon(dueMs), delayMs);
    }
    return dueMs + BEHIND_MS;
  }

  #onSoon(dueMs: number): void {
    // An earlier one has run meanwhile, or runs next.
    if (this.#soonMs !== dueMs) return;
    this.#soonMs = Infinity;
    try {
      this.#runDue();
      this.#newestDueMs = this.#firstDueMs;
      this.arm();
    } catch (error) {
      // The storage fails. The alarm is still there.
      this.#options.report(error);
    }
  }

  get #firstDueMs(): number {
    const [row] = this.#sql.exec("SELECT MIN(due_ms) AS due_ms FROM timers").toArray();
    return (row?.due_ms as number | null) ?? Infinity;
  }

  /** Handles the alarm: runs the timers that are due, and sets the next alarm. Never throws. */
  fire(): void {
    this.#armedMs = undefined;
    this.#runDue();
    this.arm();
  }

  #runDue(): void {
    const nowMs = this.#options.now();
    const due = this.#sql.exec("SELECT kind, key FROM timers WHERE due_ms <= ? ORDER BY due_ms", nowMs).toArray();
    for (const { kind, key } of due) this.#run(kind as string, key as string, nowMs);
  }

  #run(kind: string, key: string, nowMs: number): void {
    try {
      this.#options.transact(() => {
        // A handler that ran before this one may have cleared or moved it.
        const [row] = this.#sql
          .exec("DELETE FROM timers WHERE kind = ? AND key = ? AND due_ms <= ? RETURNING payload", kind, key, nowMs)
          .toArray();
        if (row === undefined) return;
        this.#forget(kind, key);
        this.#handlers.get(kind)?.(key, row.payload as string);
      });
    } catch (error) {
      this.#options.report(error);
      // The rollback restored the row with its payload.
      this.#sql.exec("UPDATE timers SET due_ms = ? WHERE kind = ? AND key = ?", nowMs + AFTER_ERROR_MS, kind, key);
    }
  }

  get #maybeSet(): Set<string> {
    this.#known ??= new Set(
      this.#sql
        .exec("SELECT kind, key FROM timers")
        .toArray()
        .map(({ kind, key }) => nameOf(kind as string, key as string)),
    );
    return this.#known;
  }

  #forget(kind: string, key: string): void {
    const name = nameOf(kind, key);
    this.#maybeSet.delete(name);
    this.#options.onRollback(() => this.#maybeSet.add(name));
  }

  get #sql(): SqlStorage {
    return this.#options.storage.sql;
  }
}

function nameOf(kind: string, key: string): string {
  return `${kind} ${key}`;
}
