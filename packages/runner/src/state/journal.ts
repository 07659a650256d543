/**
 * What this sandbox's runners have promised: attempts accepted, and how they ended. It is written before the SessionAgent is
 * told, so that a runner that takes the place of one that died knows what to answer for, and no attempt runs twice. The
 * process works on what is in memory: a disk that fails costs what a crash would lose.
 */
import type { Database } from "bun:sqlite";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Attempt, type AttemptEnded, readFrame, type StepFrame } from "./attempt-record.ts";
import { readJournalLines } from "./journal-lines.ts";
import { lastWriteOf, openSqliteFile } from "./sqlite-file.ts";
import { EARLIER_JOURNAL_FILE } from "./state-folder.ts";

export type { AttemptEnded, StepFrame } from "./attempt-record.ts";

/** An attempt that is being worked on, or was when the runner before this one died. */
export interface RunningAttempt {
  readonly attemptId: string;
  /** Its `valet.turn` or `valet.workflow.execute`, open, as `serialiseSpan` writes it; none if the runner died before it. */
  readonly span: string | undefined;
  /** Of a workflow: the last that was told of each step, in order. */
  readonly steps?: readonly StepFrame[];
}

/** Settled attempts that are remembered, so that a dispatch that comes again finds itself done. */
const MAX_SETTLED = 1000;

/** `place` is the order of acceptance, and of what is settled that of settling. */
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
  /** Epoch ms: when an earlier runner of this generation last wrote; `undefined` when there was none. */
  readonly lastWriteMs: number | undefined;

  /**
   * Reads what earlier runners wrote. Attempts of another generation are forgotten: their session has given them up.
   * @throws when the file can be neither read nor made
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

  /** What is known of an attempt; `undefined` when it never came here. */
  stateOf(attemptId: string): Attempt["is"] | undefined {
    return this.#attempts.get(attemptId)?.is;
  }

  /** Promises the work. @throws what SQLite says; then it is not promised */
  accept(attemptId: string, isWorkflow = false): void {
    this.#insert(attemptId, "running", isWorkflow);
    this.#attempts.set(attemptId, { is: "running", span: undefined, steps: isWorkflow ? new Map() : undefined });
  }

  /** The work has begun under this span. @throws what SQLite says; it is kept in memory */
  begin(attemptId: string, span: string): void {
    const attempt = this.#attempts.get(attemptId);
    if (attempt?.is !== "running") return;
    this.#attempts.set(attemptId, { ...attempt, span });
    this.#database.query("UPDATE attempts SET span = ? WHERE id = ?").run(span, attemptId);
  }

  /** A step of a running workflow has begun or ended. @throws what SQLite says; it is kept in memory */
  step(frame: StepFrame): void {
    const attempt = this.#attempts.get(frame.attemptId);
    if (attempt?.is !== "running") return;
    const steps = new Map(attempt.steps).set(frame.state.index, frame);
    this.#attempts.set(frame.attemptId, { ...attempt, steps });
    this.#writeStep(frame);
  }

  /** The work is done, and its result kept until it is acknowledged. @throws what SQLite says; it is kept in memory */
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

  /** Nothing more is owed for this attempt; also one that was refused after all. @throws what SQLite says */
  settle(attemptId: string): void {
    if (this.stateOf(attemptId) === undefined) return;
    // Set anew, so that the order is that of settling.
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
      return [{ attemptId, span, ...(steps !== undefined && { steps: [...steps.values()] }) }];
    });
  }

  /** Results that have not been acknowledged, in order. */
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

  /** In one transaction: a runner that is killed in it, or before it has removed the file, takes the same over again. */
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

/** An end that this version cannot read is as good as acknowledged: it could not be told. */
function attemptOf({ state, is_workflow, span, frame: text }: Row, steps: Map<number, StepFrame> | undefined): Attempt {
  if (state === "running") {
    return { is: "running", span: span ?? undefined, steps: steps ?? (is_workflow === 1 ? new Map() : undefined) };
  }
  const frame = state === "ended" && text !== null ? readFrame(text) : undefined;
  const isEnd = frame?.type === "turn-ended" || frame?.type === "workflow-ended";
  return isEnd ? { is: "ended", frame } : { is: "settled" };
}
