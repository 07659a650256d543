/**
 * The outbox to D1. Changes of the session are stored in the transaction that makes them, until D1 has them. A durable call writes
 * them a moment later, so that a burst of changes is one write.
 */
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import { attentionKey } from "@valet/shared/answers/verdict/verdict";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { type ProjectedSession, upsertSession } from "../../database/sessions.ts";
import { addStepDurations } from "../../database/step-durations.ts";
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
    options.sql.exec("INSERT OR IGNORE INTO projected_session (one, version) VALUES (1, 0)");
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

  /** @param stepDurations how long the turn's model calls and tools took */
  addTurn(record: TurnRecord, stepDurations: readonly StepDurations[] = []): void {
    const steps = stepDurations.length === 0 ? null : JSON.stringify(stepDurations);
    this.#options.sql.exec("INSERT INTO projected_turns (record, steps) VALUES (?, ?)", JSON.stringify(record), steps);
    this.#calls.add("", null);
  }

  /** Resumes writes that were not confirmed. Called when the object starts. */
  resume(): void {
    this.#calls.resume();
  }

  /** Returns the key of the attention that was written last, or is being written. */
  attentionKey(): string {
    const [row] = this.#options.sql.exec("SELECT attention FROM projected_session").toArray();
    return (row?.attention as string | undefined) ?? "";
  }

  /** Writes the session as it is now, and as many waiting turns as fit into one batch. */
  async #write(): Promise<number> {
    const { sql, db, session } = this.#options;
    // Each try has a version of its own, since an unanswered one may have been written, or may be written late.
    const { ownerId, view } = session();
    const [row] = sql
      .exec(
        "UPDATE projected_session SET version = version + 1, attention = ? RETURNING version",
        attentionKey(view.attention),
      )
      .toArray();
    const turns = sql.exec("SELECT seq, record, steps FROM projected_turns ORDER BY seq LIMIT ?", MAX_TURNS).toArray();
    await db.batch([
      ...turns.flatMap(({ record, steps }) =>
        turnStatements(
          db,
          ownerId,
          JSON.parse(record as string) as TurnRecord,
          JSON.parse((steps as string | null) ?? "[]") as StepDurations[],
        ),
      ),
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

/** Returns the statements of a turn: its steps' durations, which count only while D1 lacks the turn, and its row. */
function turnStatements(db: D1Database, ownerId: string, record: TurnRecord, steps: readonly StepDurations[]) {
  const turn = upsertTurn(db, ownerId, record);
  return steps.length === 0 ? [turn] : [addStepDurations(db, ownerId, record.attempt_id, steps), turn];
}
