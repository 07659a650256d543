/**
 * The outbox to D1. Changes of the session are stored in the transaction that makes them, until D1 has them. A durable call writes
 * them a moment later, so that a burst of changes is one write. D1 gets the newest view; those who listen are told each status that the
 * session took meanwhile, and each turn that ended, in order.
 */
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import { attentionKey } from "@valet/shared/answers/verdict/verdict";
import type { SessionStatus, SessionView, TurnRecord } from "@valet/shared/protocol/session-view";
import { type ProjectedSession, upsertSession } from "../../database/sessions.ts";
import { addStepDurations } from "../../database/step-durations.ts";
import { upsertTurn } from "../../database/turns.ts";
import { type Subscription, selectSubscriptions, toSubscriptions } from "../../database/webhooks.ts";
import { type DurableCallOptions, DurableCalls } from "../core/durable-call.ts";
import type { Happened } from "../core/happened.ts";
import type { TimerHandlers } from "../core/timers.ts";

/** How long changes are gathered before they are written, in ms. */
const GATHER_MS = 200;
/** The timeout of a write, in ms: it takes longer only if the object died meanwhile. */
const WRITE_MS = 60_000;
/** How many turns and statuses are in one batch, which D1 runs as one transaction. */
const MAX_ROWS = 20;

export interface OutboxOptions extends DurableCallOptions {
  readonly db: D1Database;
  /** Returns the session as it is now. */
  readonly session: () => Omit<ProjectedSession, "version">;
  /** Returns the session's status as it is now. */
  readonly status: () => SessionStatus;
  /** Returns the sentence of `why` for a turn that ended. Never rejects. */
  readonly sentence: (turn: TurnRecord) => Promise<string>;
  /** Called in the transaction that records that D1 has all this. */
  readonly onWritten: (written: Pick<Written, "view" | "happened" | "subscriptions">) => void;
}

/** What one batch has written. */
interface Written {
  readonly view: SessionView;
  /** What D1 did not have before, oldest first. */
  readonly happened: readonly Happened[];
  /** The last of the waiting rows that it wrote. */
  readonly lastRow: number;
  /** The endpoints of webhooks that the owner has. */
  readonly subscriptions: readonly Subscription[];
}

export class ProjectionOutbox {
  readonly #options: OutboxOptions;
  /** One call for all there is to write. It reads that when it is made. */
  readonly #calls: DurableCalls<null, Written>;
  readonly timerHandlers: TimerHandlers<"projection">;
  /** The status that was noted last, where this is known without a look at the table. */
  #noted: SessionStatus | undefined;

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
    this.#noteStatus((effect) => this.#options.transactions.afterCommit(effect));
    this.#calls.add("", null);
  }

  /** Adds the session's status to what waits, if it is another one than before. @param onKept runs an effect once that is stored */
  #noteStatus(onKept: (effect: () => void) => void): void {
    const { sql, now } = this.#options;
    const status = this.#options.status();
    if (status === this.#noted) return;
    onKept(() => {
      this.#noted = status;
    });
    const isNew = sql
      .exec("UPDATE projected_session SET status = ? WHERE status IS NOT ? RETURNING one", status, status)
      .toArray();
    if (isNew.length === 0) return;
    sql.exec("INSERT INTO projected_turns (record, status, at_ms) VALUES ('', ?, ?)", status, now());
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
    this.#noteStatus((effect) => effect());
    // Each try has a version of its own, since an unanswered one may have been written, or may be written late.
    const { ownerId, view } = session();
    const [row] = sql
      .exec(
        "UPDATE projected_session SET version = version + 1, attention = ? RETURNING version",
        attentionKey(view.attention),
      )
      .toArray();
    const rows = sql
      .exec("SELECT seq, record, steps, is_end, status, at_ms FROM projected_turns ORDER BY seq LIMIT ?", MAX_ROWS)
      .toArray();
    const waiting = rows.map(readRow);
    const turns = waiting.flatMap((row) => ("turn" in row ? [row] : []));
    const results = await db.batch([
      ...turns.flatMap(({ turn, steps }) => turnStatements(db, ownerId, turn, steps)),
      upsertSession(db, { ownerId, version: row?.version as number, view }),
      selectSubscriptions(db, ownerId),
    ]);
    const subscriptions = toSubscriptions(results.at(-1)?.results);
    const happened = await this.#happened(waiting, subscriptions);
    return { view, happened, lastRow: (rows.at(-1)?.seq as number | undefined) ?? 0, subscriptions };
  }

  /** Returns what others are told. The sentences are made here, since other sessions are asked for them, for a moment. */
  async #happened(waiting: readonly Waiting[], subscriptions: readonly Subscription[]): Promise<Happened[]> {
    const isHeard = subscriptions.some(({ events }) => events.includes("turn.ended"));
    const happened = waiting.map(async (row): Promise<Happened[]> => {
      if ("status" in row) return [row];
      const { turn, isEnd } = row;
      return isEnd ? [{ turn, sentence: isHeard ? await this.#options.sentence(turn) : undefined }] : [];
    });
    return (await Promise.all(happened)).flat();
  }

  #settle(written: Written): "done" {
    const { sql, onWritten } = this.#options;
    const { lastRow } = written;
    onWritten(written);
    sql.exec("DELETE FROM projected_turns WHERE seq <= ?", lastRow);
    const [more] = sql.exec("SELECT 1 FROM projected_turns LIMIT 1").toArray();
    if (more !== undefined) this.#calls.add("", null);
    return "done";
  }
}

/** A row that waits: a turn, which has ended or of which more is known; or a status. */
type Waiting =
  | { readonly turn: TurnRecord; readonly steps: readonly StepDurations[]; readonly isEnd: boolean }
  | { readonly status: SessionStatus; readonly atMs: number };

function readRow({ record, steps, is_end, status, at_ms }: Record<string, SqlStorageValue>): Waiting {
  if (status !== null) return { status: status as SessionStatus, atMs: at_ms as number };
  return {
    turn: JSON.parse(record as string) as TurnRecord,
    steps: JSON.parse((steps as string | null) ?? "[]") as StepDurations[],
    isEnd: is_end === 1,
  };
}

/** Returns the statements of a turn: its steps' durations, which count only while D1 lacks the turn, and its row. */
function turnStatements(db: D1Database, ownerId: string, record: TurnRecord, steps: readonly StepDurations[]) {
  const turn = upsertTurn(db, ownerId, record);
  return steps.length === 0 ? [turn] : [addStepDurations(db, ownerId, record.attempt_id, steps), turn];
}
