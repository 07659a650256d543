/** The tables of jobs and of their attempts. Rows only; job-queue.ts knows what they mean. */

import type { Attachment } from "@valet/shared/protocol/dispatch";
import type { Failure } from "@valet/shared/protocol/failure";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { WorkflowStep } from "@valet/shared/protocol/workflow";
import type { ErrorType, FailurePolicy, MessageSource, Outcome, QueueMode, QueueReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { IdRange } from "../core/id-range.ts";
import { ReadOnce } from "../core/read-once.ts";
import type { Transactions } from "../core/transactions.ts";
import type { WaitingJob } from "./queue-rules.ts";

/** What a message holds for the agent, and where its answer goes. */
export interface MessageBody {
  readonly content: string;
  readonly author?: { readonly id: string; readonly name?: string };
  readonly attachments: readonly Attachment[];
  readonly model?: string;
  readonly models?: readonly string[];
  readonly threadId?: string;
  readonly replyChannel?: string;
}

/** What a workflow is to do. */
export interface WorkflowBody {
  readonly name: string;
  readonly steps: readonly WorkflowStep[];
  readonly onFailure: FailurePolicy;
}

/** A job is a message to the agent, or a workflow, which is a list of steps. */
export type JobKind = "message" | "workflow";

/** `accepted`: the runner is working on it. */
export type JobStatus = "queued" | "dispatched" | "accepted" | "done";

/** A message or a workflow, without its body. */
export interface JobRow {
  readonly id: string;
  readonly kind: JobKind;
  readonly seq: number;
  readonly channel: string;
  readonly mode: QueueMode;
  readonly source: MessageSource;
  readonly initial: boolean;
  readonly status: JobStatus;
  readonly sizeBytes: number;
  readonly attachments: number;
  readonly notBeforeMs: number;
  readonly acceptedMs: number;
  /** When the current wait, or the last one, began: at acceptance, or when an attempt ended without a result. */
  readonly waitingSinceMs: number;
  readonly dispatchedMs: number | null;
  readonly endedMs: number | null;
  /** What it is waiting for, or waited for last. */
  readonly reason: QueueReason | null;
  /** Everything it has waited for, in order. */
  readonly reasons: readonly QueueReason[];
  readonly outcome: Outcome | null;
  readonly errorType: ErrorType | null;
  /** Further details of a failure. */
  readonly failure: Failure | null;
  /** The models that the message itself names, as text; empty if it names none. */
  readonly asksFor: string;
  /** The context of its `valet.prompt` or `valet.workflow` span. */
  readonly context: SpanContext;
  readonly waitContext: SpanContext;
  /** The span that its wait was last linked to. */
  readonly waitedOn: string | null;
  /** The current attempt, or the last one. */
  readonly attemptId: string | null;
  readonly attempts: number;
  /** How many attempts were lost, and how many the runner did not accept. */
  readonly lost: number;
  readonly unaccepted: number;
  readonly lastDispatch: SpanContext | null;
  /** For whom it runs; `null` for the session's user. */
  readonly userId: string | null;
  /** The user who ended it early; `null` if nobody did. */
  readonly endedBy: string | null;
}

export type StopReason = "user_abort" | "steered" | "session_terminated";

export interface AttemptRow {
  readonly id: string;
  readonly number: number;
  readonly generation: number;
  readonly channel: string;
  readonly state: "dispatched" | "accepted" | "ended";
  readonly jobIds: readonly string[];
  readonly context: SpanContext;
  readonly dispatchedMs: number;
  readonly acceptedMs: number | null;
  readonly endedMs: number | null;
  readonly waitMs: number;
  /** Why it is being stopped, the span that asked for it, and the user. */
  readonly stop: { readonly reason: StopReason; readonly cause: SpanContext | null; readonly by?: string } | null;
  /** What the runner last reported to have measured; `null` before. It is the summary if the runner is lost. */
  readonly progress: TurnSummary | null;
}

/** A queued job, as far as the scheduler needs it. */
export type QueuedJob = WaitingJob & Pick<JobRow, "kind" | "reason" | "waitedOn">;

type Columns<T> = { readonly [K in keyof T]: "plain" | "json" | "flag" };

const JOB: Columns<JobRow> = {
  id: "plain",
  kind: "plain",
  seq: "plain",
  channel: "plain",
  mode: "plain",
  source: "plain",
  initial: "flag",
  status: "plain",
  sizeBytes: "plain",
  attachments: "plain",
  notBeforeMs: "plain",
  acceptedMs: "plain",
  waitingSinceMs: "plain",
  dispatchedMs: "plain",
  endedMs: "plain",
  reason: "plain",
  reasons: "json",
  outcome: "plain",
  errorType: "plain",
  failure: "json",
  asksFor: "plain",
  context: "json",
  waitContext: "json",
  waitedOn: "plain",
  attemptId: "plain",
  attempts: "plain",
  lost: "plain",
  unaccepted: "plain",
  lastDispatch: "json",
  userId: "plain",
  endedBy: "plain",
};

/** Does not compile if a column of {@link QueuedJob} is missing. */
const QUEUED: Columns<QueuedJob> = pick(
  JOB,
  ...(["id", "kind", "seq", "channel", "mode", "source", "initial", "notBeforeMs", "waitingSinceMs"] as const),
  ...(["sizeBytes", "attachments", "asksFor", "reason", "waitedOn"] as const),
);

const ATTEMPT: Columns<AttemptRow> = {
  id: "plain",
  number: "plain",
  generation: "plain",
  channel: "plain",
  state: "plain",
  jobIds: "json",
  context: "json",
  dispatchedMs: "plain",
  acceptedMs: "plain",
  endedMs: "plain",
  waitMs: "plain",
  stop: "json",
  progress: "json",
};

type NewestTimes = { readonly acceptedMs: number; readonly endedMs: number | null };

export class JobStore {
  readonly #sql: SqlStorage;
  /** Of one id none, or one. */
  readonly #jobs: ReadOnce<readonly JobRow[]>;
  readonly #attempts: ReadOnce<readonly AttemptRow[]>;
  readonly #inFlight: ReadOnce<readonly AttemptRow[]>;
  readonly #queued: ReadOnce<readonly QueuedJob[]>;
  readonly #queuedCount: ReadOnce<number>;
  readonly #newest: ReadOnce<readonly NewestTimes[]>;

  constructor(sql: SqlStorage, transactions: Pick<Transactions, "epoch">) {
    this.#sql = sql;
    this.#jobs = new ReadOnce(transactions);
    this.#attempts = new ReadOnce(transactions);
    this.#inFlight = new ReadOnce(transactions);
    this.#queued = new ReadOnce(transactions);
    this.#queuedCount = new ReadOnce(transactions);
    this.#newest = new ReadOnce(transactions);
  }

  /** Returns when the newest job ended, epoch ms; `undefined` if there is none, or it has not ended. */
  newestEndMs(): number | undefined {
    return this.#newestTimes()?.endedMs ?? undefined;
  }

  /** Returns when the newest job was accepted, epoch ms; `undefined` if there is none. */
  newestAcceptedMs(): number | undefined {
    return this.#newestTimes()?.acceptedMs;
  }

  #newestTimes(): NewestTimes | undefined {
    return this.#newest.get("", () =>
      this.#sql.exec<NewestTimes>("SELECT acceptedMs, endedMs FROM jobs ORDER BY seq DESC LIMIT 1").toArray(),
    )[0];
  }

  nextSeq(): number {
    const [row] = this.#sql.exec("SELECT COALESCE(MAX(seq), 0) + 1 AS seq FROM jobs").toArray();
    return row?.seq as number;
  }

  addJob(row: JobRow, body: MessageBody | WorkflowBody): void {
    this.#insert("jobs", JOB, row, { body: JSON.stringify(body) });
    this.#forgetJob(row.id);
  }

  job(id: string): JobRow | undefined {
    return this.#jobs.get(id, () => this.#select("jobs", JOB, "WHERE id = ?", id))[0];
  }

  /** Returns what a message holds; an empty one where there is no message of this id. */
  message(id: string): MessageBody {
    return (this.#body(id, "message") as MessageBody | undefined) ?? { content: "", attachments: [] };
  }

  /** Returns what a workflow is to do; an empty one where there is no execution of this id. */
  workflow(id: string): WorkflowBody {
    return (this.#body(id, "workflow") as WorkflowBody | undefined) ?? { name: "", steps: [], onFailure: "stop" };
  }

  #body(id: string, kind: JobKind): unknown {
    const [row] = this.#sql.exec("SELECT body FROM jobs WHERE id = ? AND kind = ?", id, kind).toArray();
    return row === undefined ? undefined : JSON.parse(row.body as string);
  }

  /** Returns the queued jobs, oldest first. Not whole rows: this is read after every change, and a queue can be long. */
  queued(): readonly QueuedJob[] {
    return this.#queued.get("", () => this.#select("jobs", QUEUED, "WHERE status = 'queued' ORDER BY seq"));
  }

  queuedCount(): number {
    return this.#queuedCount.get("", () => {
      const [row] = this.#sql.exec("SELECT COUNT(*) AS count FROM jobs WHERE status = 'queued'").toArray();
      return row?.count as number;
    });
  }

  /** Returns jobs in order of acceptance, beginning after `seq`. */
  jobsAfter(kind: JobKind, seq: number, limit: number): JobRow[] {
    return this.#select("jobs", JOB, "WHERE kind = ? AND seq > ? ORDER BY seq LIMIT ?", kind, seq, limit);
  }

  /** Returns jobs before `seq`, newest first. */
  jobsBefore(kind: JobKind, seq: number, limit: number): JobRow[] {
    return this.#select("jobs", JOB, "WHERE kind = ? AND seq < ? ORDER BY seq DESC LIMIT ?", kind, seq, limit);
  }

  /** Returns jobs whose ids are in a range, in the order of their ids. */
  jobsIn({ from, to }: IdRange, limit: number): Pick<JobRow, "id" | "kind" | "acceptedMs">[] {
    return this.#sql
      .exec<{ id: string; kind: JobKind; acceptedMs: number }>(
        "SELECT id, kind, acceptedMs FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        from,
        to,
        limit,
      )
      .toArray();
  }

  /** Returns the last jobs of a channel that are done, newest first. */
  latestJobs(channel: string, limit: number): JobRow[] {
    return this.#select("jobs", JOB, "WHERE channel = ? AND status = 'done' ORDER BY seq DESC LIMIT ?", channel, limit);
  }

  /** Returns the last job of a channel that is done and was accepted before `seq`. */
  doneBefore(channel: string, seq: number): JobRow | undefined {
    const rest = "WHERE channel = ? AND status = 'done' AND seq < ? ORDER BY seq DESC LIMIT 1";
    return this.#select("jobs", JOB, rest, channel, seq)[0];
  }

  updateJob(id: string, patch: Partial<JobRow>): void {
    this.#update("jobs", JOB, id, patch);
    this.#forgetJob(id);
  }

  addAttempt(row: AttemptRow): void {
    this.#insert("attempts", ATTEMPT, row, {});
    this.#forgetAttempt(row.id);
  }

  attempt(id: string): AttemptRow | undefined {
    return this.#attempts.get(id, () => this.#select("attempts", ATTEMPT, "WHERE id = ?", id))[0];
  }

  /** Returns which kind of job an attempt works on. */
  kindOf({ jobIds }: AttemptRow): JobKind {
    return this.job(jobIds[0] ?? "")?.kind ?? "message";
  }

  inFlight(): readonly AttemptRow[] {
    const rest = "WHERE state <> 'ended' ORDER BY dispatchedMs, id";
    return this.#inFlight.get("", () => this.#select("attempts", ATTEMPT, rest));
  }

  updateAttempt(id: string, patch: Partial<AttemptRow>): void {
    this.#update("attempts", ATTEMPT, id, patch);
    this.#forgetAttempt(id);
  }

  #forgetJob(id: string): void {
    this.#jobs.forget(id);
    this.#queued.forget();
    this.#queuedCount.forget();
    this.#newest.forget();
  }

  #forgetAttempt(id: string): void {
    this.#attempts.forget(id);
    this.#inFlight.forget();
  }

  #select<T>(table: string, columns: Columns<T>, rest: string, ...values: SqlStorageValue[]): T[] {
    const rows = this.#sql.exec(`SELECT ${Object.keys(columns).join(", ")} FROM ${table} ${rest}`, ...values).toArray();
    return rows.map((row) => {
      const typed = Object.entries(row).map(([name, value]) => [name, read(columns[name as keyof T], value)]);
      return Object.fromEntries(typed) as T;
    });
  }

  #insert<T extends object>(table: string, columns: Columns<T>, row: T, more: Record<string, string>): void {
    const all = { ...encode(columns, row), ...more };
    const marks = Object.keys(all).map(() => "?");
    this.#sql.exec(
      `INSERT INTO ${table} (${Object.keys(all).join(", ")}) VALUES (${marks.join(", ")})`,
      ...Object.values(all),
    );
  }

  #update<T extends object>(table: string, columns: Columns<T>, id: string, patch: Partial<T>): void {
    const values = encode(columns, patch);
    const sets = Object.keys(values).map((name) => `${name} = ?`);
    this.#sql.exec(`UPDATE ${table} SET ${sets.join(", ")} WHERE id = ?`, ...Object.values(values), id);
  }
}

function pick<T extends object, K extends keyof T>(from: T, ...keys: K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}

function encode<T extends object>(columns: Columns<T>, row: Partial<T>): Record<string, SqlStorageValue> {
  const entries = Object.entries(row).map(([name, value]) => {
    const kind = columns[name as keyof T];
    return [name, kind === "json" ? JSON.stringify(value) : kind === "flag" ? Number(value) : value];
  });
  return Object.fromEntries(entries);
}

function read(kind: "plain" | "json" | "flag", value: unknown): unknown {
  if (kind === "json") return JSON.parse(value as string);
  return kind === "flag" ? value === 1 : value;
}
