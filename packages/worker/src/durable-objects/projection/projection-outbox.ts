/**
 * The outbox to D1. Changes of the session are stored in the transaction that makes them, until D1 has them. A durable call writes
 * them a moment later, so that a burst of changes is one write.
 */
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { type ProjectedSession, upsertSession } from "../../database/sessions.ts";
import { upsertTurn } from "../../database/turns.ts";
import { type DurableCallOptions, DurableCalls } from "../core/durable-call.ts";
import type { TimerHandlers } from "../core/timers.ts";

/** How long changes are gathered before they are written, in ms. */
const GATHER_MS = 200;
/** The timeout of a write, in ms: it takes longer only if the object died meanwhile. */
const WRITE_MS = 60_000;
/** How many turns are in one batch, which D1 runs as one transaction. */
const MAX_TURNS = 20;

export interface OutboxOptions extends DurableCallOptions {
  readonly db: D1Database;
  /** Returns the session as it is now. */
  readonly session: () => Omit<ProjectedSession, "version">;
}

export class ProjectionOutbox {
  readonly #options: OutboxOptions;
  /** One call for all there is to write. It reads that when it is made, and its result is the last turn that it wrote. */
  readonly #calls: DurableCalls<null, number>;
  readonly timerHandlers: TimerHandlers<"projection">;

  constructor(options: OutboxOptions) {
    this.#options = options;
    options.sql.exec("INSERT OR IGNORE INTO projected_session VALUES (1, 0)");
    this.#calls = new DurableCalls<null, number>("projection", options, {
      delivers: "newest",
      gatherMs: GATHER_MS,
      timeoutMs: WRITE_MS,
      call: () => this.#write(),
      settle: (lastTurn) => this.#settle(lastTurn),
    });
    this.timerHandlers = { projection: this.#calls.onTimer };
  }

  /** Schedules a write: the session has changed. */
  sessionChanged(): void {
    this.#calls.add("", null);
  }

  addTurn(record: TurnRecord): void {
    this.#options.sql.exec("INSERT INTO projected_turns (record) VALUES (?)", JSON.stringify(record));
    this.#calls.add("", null);
  }

  /** Resumes writes that were not confirmed. Called when the object starts. */
  resume(): void {
    this.#calls.resume();
  }

  /** Writes the session as it is now, and as many waiting turns as fit into one batch. */
  async #write(): Promise<number> {
    const { sql, db, session } = this.#options;
    // Each try has a version of its own, since an unanswered one may have been written, or may be written late.
    const [row] = sql.exec("UPDATE projected_session SET version = version + 1 RETURNING version").toArray();
    const { ownerId, view } = session();
    const turns = sql.exec("SELECT seq, record FROM projected_turns ORDER BY seq LIMIT ?", MAX_TURNS).toArray();
    await db.batch([
      ...turns.map(({ record }) => upsertTurn(db, ownerId, JSON.parse(record as string) as TurnRecord)),
      upsertSession(db, { ownerId, version: row?.version as number, view }),
    ]);
    return (turns.at(-1)?.seq as number | undefined) ?? 0;
  }

  #settle(lastTurn: number): "done" {
    const { sql } = this.#options;
    sql.exec("DELETE FROM projected_turns WHERE seq <= ?", lastTurn);
    const [more] = sql.exec("SELECT 1 FROM projected_turns LIMIT 1").toArray();
    if (more !== undefined) this.#calls.add("", null);
    return "done";
  }
}
