/**
 * The users of the session's traces. Most sessions work for one user; only a trace for another one has a row. It decides the
 * `user.id` of all spans in that trace that do not name a user themselves, above all of those from the sandbox.
 */

/** How many traces are cached, so that most spans need no query. */
const MAX_CACHED = 1000;

export class TraceUsers {
  readonly #sql: SqlStorage;
  /** `undefined` for a trace without a row. */
  readonly #cache = new Map<string, string | undefined>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Returns the user of a trace; `undefined` if that is the session's user. */
  of(traceId: string): string | undefined {
    if (this.#cache.has(traceId)) return this.#cache.get(traceId);
    const [row] = this.#sql.exec("SELECT user_id FROM trace_users WHERE trace_id = ?", traceId).toArray();
    return this.#remember(traceId, row?.user_id as string | undefined);
  }

  /** Records the user of a trace. @param sessionUser the session's user, whose traces need no row */
  set(traceId: string, userId: string, sessionUser: string): void {
    const known = this.of(traceId);
    if ((known ?? sessionUser) === userId) return;
    this.#sql.exec("INSERT OR REPLACE INTO trace_users VALUES (?, ?)", traceId, userId);
    this.#remember(traceId, userId);
  }

  /** Forgets what is cached: some of it may have been rolled back. */
  reload(): void {
    this.#cache.clear();
  }

  #remember(traceId: string, userId: string | undefined): string | undefined {
    if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
    this.#cache.set(traceId, userId);
    return userId;
  }
}
