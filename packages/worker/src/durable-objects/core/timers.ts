/** Many timers over the one alarm that a Durable Object has. They outlive evictions and crashes. */

/** What a timer does when it is due. It is synchronous: work on the network is started, not awaited. */
export type TimerHandler = (key: string, payload: string) => void;

/** The kinds of calls that are made until they are acknowledged (durable-call.ts). */
export type DurableCallKind =
  | "projection"
  | "child-request"
  | "child-end"
  | "parent-report"
  | "capacity-report"
  | "orphan";

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
  | "check";

export type TimerHandlers<K extends TimerKind = TimerKind> = Readonly<Record<K, TimerHandler>>;

export interface TimersOptions {
  readonly storage: Pick<DurableObjectStorage, "sql" | "setAlarm">;
  readonly now: () => number;
  /** Runs a handler and the removal of its timer in one transaction. */
  readonly transact: (work: () => void) => void;
  /** When others that keep their own time want the alarm. */
  readonly alsoDueMs: () => number | undefined;
  readonly report: (error: unknown) => void;
}

/** A timer whose handler threw comes again after this long: soon, and not in a loop that eats the CPU. */
const AFTER_ERROR_MS = 5000;

export class Timers {
  readonly #options: TimersOptions;
  readonly #handlers = new Map<string, TimerHandler>();
  /** What the alarm is set to; unknown until it has been set once in this life of the object. */
  #armedMs: number | undefined;

  constructor(options: TimersOptions) {
    this.#options = options;
  }

  /** Adds what timers do when they are due. A stored timer of a kind that no version handles any more is dropped then. */
  handle(handlers: Partial<TimerHandlers>): void {
    for (const [kind, handler] of Object.entries(handlers)) this.#handlers.set(kind, handler);
  }

  /** Sets a timer, or moves it. */
  set(kind: TimerKind, dueMs: number, { key = "", payload = "" }: { key?: string; payload?: string } = {}): void {
    const due = Math.ceil(dueMs);
    const [row] = this.#sql.exec("SELECT due_ms, payload FROM timers WHERE kind = ? AND key = ?", kind, key).toArray();
    if (row?.due_ms === due && row.payload === payload) return;
    this.#sql.exec("INSERT OR REPLACE INTO timers VALUES (?, ?, ?, ?)", kind, key, due, payload);
  }

  clear(kind: TimerKind, key = ""): void {
    this.#sql.exec("DELETE FROM timers WHERE kind = ? AND key = ?", kind, key);
  }

  dueMs(kind: TimerKind, key = ""): number | undefined {
    const [row] = this.#sql.exec("SELECT due_ms FROM timers WHERE kind = ? AND key = ?", kind, key).toArray();
    return row === undefined ? undefined : (row.due_ms as number);
  }

  /** Sets the alarm to what is due first. Later than set is left as it is: that alarm finds nothing due and sets the next. */
  arm(): void {
    const [row] = this.#sql.exec("SELECT MIN(due_ms) AS due_ms FROM timers").toArray();
    const first = Math.min((row?.due_ms as number | null) ?? Infinity, this.#options.alsoDueMs() ?? Infinity);
    // What is overdue is due now: there are times that no alarm takes, such as 0.
    const due = Math.max(first, this.#options.now());
    if (due === Infinity || (this.#armedMs !== undefined && this.#armedMs <= due)) return;
    this.#armedMs = due;
    // A storage that fails resets the whole object; there is nothing to add to that.
    this.#options.storage.setAlarm(due).catch(this.#options.report);
  }

  /** The alarm: runs what is due, then sets the next. Never throws. */
  fire(): void {
    this.#armedMs = undefined;
    const nowMs = this.#options.now();
    const due = this.#sql.exec("SELECT kind, key FROM timers WHERE due_ms <= ? ORDER BY due_ms", nowMs).toArray();
    for (const { kind, key } of due) this.#run(kind as string, key as string, nowMs);
    this.arm();
  }

  #run(kind: string, key: string, nowMs: number): void {
    try {
      this.#options.transact(() => {
        // A handler that ran before this one may have cleared or moved it.
        const [row] = this.#sql
          .exec("DELETE FROM timers WHERE kind = ? AND key = ? AND due_ms <= ? RETURNING payload", kind, key, nowMs)
          .toArray();
        if (row !== undefined) this.#handlers.get(kind)?.(key, row.payload as string);
      });
    } catch (error) {
      this.#options.report(error);
      // The row is there again, with its payload: what the handler did was rolled back.
      this.#sql.exec("UPDATE timers SET due_ms = ? WHERE kind = ? AND key = ?", nowMs + AFTER_ERROR_MS, kind, key);
    }
  }

  get #sql(): SqlStorage {
    return this.#options.storage.sql;
  }
}
