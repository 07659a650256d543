/**
 * The journal of the attempts that this sandbox's runners have accepted, and how they ended. The runner writes it before it
 * reports to the SessionAgent, so a successor knows which attempts to answer for, and no attempt runs twice. The process reads
 * only its memory, so a failed disk has no effect until a crash.
 */
import type { Database } from "bun:sqlite";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { type Attempt, type AttemptEnded, readFrame, type StepFrame } from "./attempt-record.ts";
import { readJournalLines } from "./journal-lines.ts";
import { lastWriteOf, openSqliteFile } from "./sqlite-file.ts";
import { EARLIER_JOURNAL_FILE } from "./state-folder.ts";

export type { AttemptEnded, StepFrame } from "./attempt-record.ts";

/** An attempt that is running, or was running when an earlier runner died. */
export interface RunningAttempt {
  readonly attemptId: string;
  /** Its open `valet.turn` or `valet.workflow.execute` as `serialiseSpan` writes it; `undefined` if the span had not begun. */
  readonly span: string | undefined;
  /** Only of a workflow: the last frame of each step, in order. */
  readonly steps?: readonly StepFrame[];
}

/** How many settled attempts the journal keeps, to recognise a repeated dispatch. */
const MAX_SETTLED = 1000;

/** `place` is the order of acceptance; for settled attempts it is the order of settling. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS attempts (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'ended', 'settled')),
    is_workflow INTEGER NOT NULL,
    span TEXT,
    frame TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS steps (
    attempt_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    frame TEXT NOT NULL,
    PRIMARY KEY (attempt_id, step)
  ) STRICT, WITHOUT ROWID`;

interface Row {
  readonly id: string;
  readonly state: Attempt["is"];
  readonly is_workflow: number;
  readonly span: string | null;
  readonly frame: string | null;
}

export class Journal {
  readonly #database: Database;
  readonly #generation: number;
  readonly #attempts: Map<string, Attempt>;
  /** The last write of an earlier runner of this generation, epoch ms; `undefined` if there was none. */
  readonly lastWriteMs: number | undefined;

  /**
   * Reads the journal of earlier runners. Deletes attempts of other generations, which their session has given up.
   * @throws if the file can be neither read nor created
   */
  constructor(path: string, generation: number) {
    this.#generation = generation;
    const folder = dirname(path);
    const earlier = join(folder, EARLIER_JOURNAL_FILE);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lastWriteMs = Math.max(lastWriteOf(path), lastWriteOf(earlier));
    this.#database = openSqliteFile(path, SCHEMA);
    this.#takeOver(readJournalLines(earlier, generation));
    rmSync(earlier, { force: true });
    this.#database.run("DELETE FROM attempts WHERE generation <> ?", [generation]);
    this.#database.run("DELETE FROM steps WHERE attempt_id NOT IN (SELECT id FROM attempts WHERE state = 'running')");
    this.#attempts = this.#read();
    this.lastWriteMs = this.#attempts.size > 0 ? lastWriteMs : undefined;
  }

  /** Returns the state of an attempt; `undefined` if this sandbox never received it. */
  stateOf(attemptId: string): Attempt["is"] | undefined {
    return this.#attempts.get(attemptId)?.is;
  }

  /** Records that the runner accepts the attempt. @throws errors of SQLite; the attempt is not accepted then */
  accept(attemptId: string, isWorkflow = false): void {
    this.#insert(attemptId, "running", isWorkflow);
    this.#attempts.set(attemptId, { is: "running", span: undefined, steps: isWorkflow ? new Map() : undefined });
  }

  /** Records the span of an attempt whose work has begun. @throws errors of SQLite; it is kept in memory */
  begin(attemptId: string, span: string): void {
    const attempt = this.#attempts.get(attemptId);
    if (attempt?.is !== "running") return;
    this.#attempts.set(attemptId, { ...attempt, span });
    this.#database.query("UPDATE attempts SET span = ? WHERE id = ?").run(span, attemptId);
  }

  /** Records that a step of a running workflow has begun or ended. @throws errors of SQLite; it is kept in memory */
  step(frame: StepFrame): void {
    const attempt = this.#attempts.get(frame.attemptId);
    if (attempt?.is !== "running") return;
    const steps = new Map(attempt.steps).set(frame.state.index, frame);
    this.#attempts.set(frame.attemptId, { ...attempt, steps });
    this.#writeStep(frame);
  }

  /** Records the end of an attempt, until it is acknowledged. @throws errors of SQLite; it is kept in memory */
  end(frame: AttemptEnded): void {
    const { attemptId } = frame;
    this.#attempts.set(attemptId, { is: "ended", frame });
    const text = JSON.stringify(frame);
    this.#database.transaction(() => {
      this.#database
        .query("UPDATE attempts SET state = 'ended', span = NULL, frame = ? WHERE id = ?")
        .run(text, attemptId);
      this.#database.query("DELETE FROM steps WHERE attempt_id = ?").run(attemptId);
    })();
  }

  /** Records that an attempt's end is acknowledged, or that it was refused after all. @throws errors of SQLite */
  settle(attemptId: string): void {
    if (this.stateOf(attemptId) === undefined) return;
    // Deleted first, so the map's order is that of settling.
    this.#attempts.delete(attemptId);
    this.#attempts.set(attemptId, { is: "settled" });
    const settled = [...this.#attempts].filter(([, { is }]) => is === "settled");
    const forgotten = settled.slice(0, -MAX_SETTLED).map(([id]) => id);
    for (const id of forgotten) this.#attempts.delete(id);
    this.#database.transaction(() => {
      for (const id of [attemptId, ...forgotten]) this.#delete(id);
      this.#insert(attemptId, "settled", false);
    })();
  }

  running(): RunningAttempt[] {
    return [...this.#attempts].flatMap(([attemptId, attempt]) => {
      if (attempt.is !== "running") return [];
      const { span, steps } = attempt;
      return [{ attemptId, span, ...withoutUndefined({ steps: steps && [...steps.values()] }) }];
    });
  }

  /** Returns the ends that have not been acknowledged, in order. */
  unacknowledged(): AttemptEnded[] {
    return [...this.#attempts.values()].flatMap((attempt) => (attempt.is === "ended" ? [attempt.frame] : []));
  }

  close(): void {
    this.#database.close();
  }

  #read(): Map<string, Attempt> {
    const steps = new Map<string, Map<number, StepFrame>>();
    const stored = this.#database.query<{ frame: string }, []>("SELECT frame FROM steps ORDER BY attempt_id, step");
    for (const { frame: text } of stored.all()) {
      const frame = readFrame(text);
      if (frame?.type !== "workflow-step") continue;
      const own = steps.get(frame.attemptId) ?? new Map<number, StepFrame>();
      steps.set(frame.attemptId, own.set(frame.state.index, frame));
    }
    const rows = this.#database.query<Row, []>("SELECT * FROM attempts ORDER BY place").all();
    return new Map(rows.map((row) => [row.id, attemptOf(row, steps.get(row.id))]));
  }

  /** Migrates attempts in one transaction. A runner killed in it, or before it removed the file, migrates them again. */
  #takeOver(attempts: ReadonlyMap<string, Attempt>): void {
    this.#database.transaction(() => {
      for (const [id, attempt] of attempts) {
        const isWorkflow = attempt.is === "running" && attempt.steps !== undefined;
        const frame = attempt.is === "ended" ? JSON.stringify(attempt.frame) : undefined;
        const span = attempt.is === "running" ? attempt.span : undefined;
        if (!this.#insert(id, attempt.is, isWorkflow, span, frame)) continue;
        if (attempt.is === "running") for (const step of attempt.steps?.values() ?? []) this.#writeStep(step);
      }
    })();
  }

  /** @returns whether it is new */
  #insert(id: string, state: Attempt["is"], isWorkflow: boolean, span?: string, frame?: string): boolean {
    const { changes } = this.#database
      .query(
        `INSERT INTO attempts (id, generation, state, is_workflow, span, frame) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING`,
      )
      .run(id, this.#generation, state, isWorkflow ? 1 : 0, span ?? null, frame ?? null);
    return changes > 0;
  }

  #writeStep(frame: StepFrame): void {
    this.#database
      .query("INSERT OR REPLACE INTO steps VALUES (?, ?, ?)")
      .run(frame.attemptId, frame.state.index, JSON.stringify(frame));
  }

  #delete(id: string): void {
    this.#database.query("DELETE FROM attempts WHERE id = ?").run(id);
    this.#database.query("DELETE FROM steps WHERE attempt_id = ?").run(id);
  }
}

/** Returns a row's attempt. An end that this version cannot read counts as acknowledged, since it could not be sent. */
function attemptOf({ state, is_workflow, span, frame: text }: Row, steps: Map<number, StepFrame> | undefined): Attempt {
  if (state === "running") {
    return { is: "running", span: span ?? undefined, steps: steps ?? (is_workflow === 1 ? new Map() : undefined) };
  }
  const frame = state === "ended" && text !== null ? readFrame(text) : undefined;
  const isEnd = frame?.type === "turn-ended" || frame?.type === "workflow-ended";
  return isEnd ? { is: "ended", frame } : { is: "settled" };
}
