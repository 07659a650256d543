/**
 * The outbox to D1. Changes of the session are stored in the transaction that makes them, until D1 has them. A durable call writes
 * them a moment later, so that a burst of changes is one write.
 */
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import { attentionKey } from "@valet/shared/answers/verdict/verdict";
import type { SessionView, TurnRecord } from "@valet/shared/protocol/session-view";
import { type ProjectedSession, upsertSession } from "../../database/sessions.ts";
import { addStepDurations } from "../../database/step-durations.ts";
import { upsertTurn } from "../../database/turns.ts";
import { type Subscription, selectSubscriptions, toSubscriptions } from "../../database/webhooks.ts";
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
  /** Called in the transaction that records that D1 has all this. */
  readonly onWritten: (written: Pick<Written, "view" | "ended" | "subscriptions">) => void;
}

/** What one batch has written. */
interface Written {
  readonly view: SessionView;
  /** The turns that D1 did not have before, oldest first. */
  readonly ended: readonly TurnRecord[];
  /** The last of the waiting turns that it wrote. */
  readonly lastTurn: number;
  /** The endpoints of webhooks that the owner has. */
  readonly subscriptions: readonly Subscription[];
}

export class ProjectionOutbox {
  readonly #options: OutboxOptions;
  /** One call for all there is to write. It reads that when it is made. */
  readonly #calls: DurableCalls<null, Written>;
  readonly timerHandlers: TimerHandlers<"projection">;

  constructor(options: OutboxOptions) {
    this.#options = options;
    options.sql.exec("INSERT OR IGNORE INTO projected_session (one, version) VALUES (1, 0)");
    this.#calls = new DurableCalls<null, Written>("projection", options, {
      delivers: "newest",
      gatherMs: GATHER_MS,
      timeoutMs: WRITE_MS,
      call: () => this.#write(),
      settle: (written) => this.#settle(written),
    });
    this.timerHandlers = { projection: this.#calls.onTimer };
  }

  /** Schedules a write: the session has changed. */
  sessionChanged(): void {
    this.#calls.add("", null);
  }

  /** Adds a turn that has ended. @param stepDurations how long its model calls and tools took */
  addTurn(record: TurnRecord, stepDurations: readonly StepDurations[] = []): void {
    this.#add(record, stepDurations.length === 0 ? null : JSON.stringify(stepDurations), 1);
  }

  /** Adds what has become known of a turn since its end. */
  updateTurn(record: TurnRecord): void {
    this.#add(record, null, 0);
  }

  #add(record: TurnRecord, steps: string | null, isEnd: 0 | 1): void {
    this.#options.sql.exec(
      "INSERT INTO projected_turns (record, steps, is_end) VALUES (?, ?, ?)",
      JSON.stringify(record),
      steps,
      isEnd,
    );
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
  async #write(): Promise<Written> {
    const { sql, db, session } = this.#options;
    // Each try has a version of its own, since an unanswered one may have been written, or may be written late.
    const { ownerId, view } = session();
    const [row] = sql
      .exec(
        "UPDATE projected_session SET version = version + 1, attention = ? RETURNING version",
        attentionKey(view.attention),
      )
      .toArray();
    const rows = sql
      .exec("SELECT seq, record, steps, is_end FROM projected_turns ORDER BY seq LIMIT ?", MAX_TURNS)
      .toArray();
    const turns = rows.map(({ seq, record, steps, is_end }) => ({
      seq: seq as number,
      record: JSON.parse(record as string) as TurnRecord,
      steps: JSON.parse((steps as string | null) ?? "[]") as StepDurations[],
      isEnd: is_end === 1,
    }));
    const results = await db.batch([
      ...turns.flatMap(({ record, steps }) => turnStatements(db, ownerId, record, steps)),
      upsertSession(db, { ownerId, version: row?.version as number, view }),
      selectSubscriptions(db, ownerId),
    ]);
    return {
      view,
      ended: turns.filter(({ isEnd }) => isEnd).map(({ record }) => record),
      lastTurn: turns.at(-1)?.seq ?? 0,
      subscriptions: toSubscriptions(results.at(-1)?.results),
    };
  }

  #settle(written: Written): "done" {
    const { sql, onWritten } = this.#options;
    const { lastTurn } = written;
    onWritten(written);
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
