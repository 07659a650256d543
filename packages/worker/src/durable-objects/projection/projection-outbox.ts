/**
 * What D1 is to be told of the session: kept with the state that it follows, until D1 has it. It is written a moment later, so
 * that a burst of changes is one write, and again until it is written.
 */
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { type ProjectedSession, upsertSession } from "../../database/sessions.ts";
import { upsertTurn } from "../../database/turns.ts";
import type { Timers } from "../core/timers.ts";

/** How long changes gather. */
const DELAY_MS = 200;
/** A write takes longer only if the object died in the middle of it. */
const WRITE_MS = 60_000;
const MAX_DOUBLINGS = 8;
/** In one batch: D1 runs one as one transaction. */
const MAX_TURNS = 20;

export interface OutboxOptions {
  readonly sql: SqlStorage;
  readonly db: D1Database;
  /** The session as it is now. */
  readonly session: () => Omit<ProjectedSession, "version">;
  readonly timers: Timers;
  readonly now: () => number;
  /** Before a write that failed is tried again; it doubles. */
  readonly retryMs: number;
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

export class ProjectionOutbox {
  readonly #options: OutboxOptions;
  #failures = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    options.sql.exec("INSERT OR IGNORE INTO projected_session VALUES (1, 0, 0)");
    options.timers.handle("projection", () => this.#start());
  }

  /** The session has changed. */
  sessionChanged(): void {
    this.#options.sql.exec("UPDATE projected_session SET version = version + 1");
    this.#schedule();
  }

  addTurn(record: TurnRecord): void {
    this.#options.sql.exec("INSERT INTO projected_turns (record) VALUES (?)", JSON.stringify(record));
    this.#schedule();
  }

  /** After the object came to life: nobody writes what waits. */
  resume(): void {
    const { timers, now } = this.#options;
    if (!this.#isEmpty) timers.set("projection", now());
  }

  #schedule(): void {
    const { timers, now } = this.#options;
    if (timers.dueMs("projection") === undefined) timers.set("projection", now() + DELAY_MS);
  }

  #start(): void {
    const { timers, now, background } = this.#options;
    // Comes, too, if the object does not live to see the end of the write.
    timers.set("projection", now() + WRITE_MS);
    background(this.#write());
  }

  async #write(): Promise<void> {
    const { timers, now, retryMs, report } = this.#options;
    try {
      await this.#flush();
      this.#failures = 0;
      if (this.#isEmpty) timers.clear("projection");
      else timers.set("projection", now() + DELAY_MS);
    } catch (error) {
      report(error);
      timers.set("projection", now() + retryMs * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS));
    }
    timers.arm();
  }

  get #isEmpty(): boolean {
    const { version, projected } = this.#versions();
    const [turn] = this.#options.sql.exec("SELECT 1 FROM projected_turns LIMIT 1").toArray();
    return version === projected && turn === undefined;
  }

  /** Writes what waits, as far as one batch goes. What changes meanwhile waits for the next. */
  async #flush(): Promise<void> {
    const { sql, db, session } = this.#options;
    const { version, projected } = this.#versions();
    const { ownerId, view } = session();
    const turns = sql.exec("SELECT seq, record FROM projected_turns ORDER BY seq LIMIT ?", MAX_TURNS).toArray();
    const statements = turns.map(({ record }) => upsertTurn(db, ownerId, JSON.parse(record as string) as TurnRecord));
    if (version !== projected) statements.push(upsertSession(db, { ownerId, version, view }));
    if (statements.length === 0) return;
    await db.batch(statements);
    sql.exec("UPDATE projected_session SET projected = ?", version);
    const last = turns.at(-1);
    if (last !== undefined) sql.exec("DELETE FROM projected_turns WHERE seq <= ?", last.seq as number);
  }

  #versions(): { readonly version: number; readonly projected: number } {
    const [row] = this.#options.sql.exec("SELECT version, projected FROM projected_session").toArray();
    return row as { version: number; projected: number };
  }
}
