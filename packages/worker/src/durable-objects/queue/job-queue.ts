/**
 * The queue: jobs, which are messages and workflows, the attempts to have them worked on, and the spans of all. Every method is
 * one step that the caller runs in a transaction; nothing here sends, waits or decides what is due (queue-rules.ts does).
 *
 * A job is queued, dispatched in an attempt, accepted by the runner, and done with exactly one outcome. An attempt that was not
 * accepted, or was lost, gives its jobs back to the queue, up to {@link MAX_UNACCEPTED} and {@link MAX_LOST} times; a workflow
 * only where going on with it is safe, which the room `workflow` decides.
 */
import type { Failure } from "@valet/shared/protocol/failure";
import type { TurnSummary } from "@valet/shared/protocol/runner-link";
import type { Outcome, QueueReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { Changes } from "../core/changes.ts";
import { newId } from "../core/ids.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { AttemptRow, JobRow, JobStore, MessageBody, QueuedJob, StopReason, WorkflowBody } from "./job-store.ts";
import type { AttemptEnd, BegunAttempt, NewMessage, NewWorkflow, QueueEvent, WorkflowProgress } from "./ports.ts";
import { type NewAttempt, QueueSpans, type WorkError } from "./queue-spans.ts";

/** An attempt whose runner was lost is followed by one more. */
const MAX_LOST = 2;
/** Attempts that the runner never took: any more would not be taken either. */
const MAX_UNACCEPTED = 3;

/** What becomes a row; the rest of it is the same for all that is new. */
type EntryRow = Pick<
  JobRow,
  "id" | "kind" | "channel" | "mode" | "source" | "initial" | "sizeBytes" | "attachments" | "notBeforeMs" | "asksFor"
>;

export interface JobQueueOptions {
  readonly jobs: JobStore;
  readonly workflows: WorkflowProgress;
  readonly tracer: SessionTracer;
  readonly changes: Changes;
  readonly record: (event: QueueEvent) => void;
  readonly now: () => number;
}

export class JobQueue {
  readonly jobs: JobStore;
  readonly #workflows: WorkflowProgress;
  readonly #spans: QueueSpans;
  readonly #changes: Changes;
  readonly #record: (event: QueueEvent) => void;
  readonly #now: () => number;

  constructor({ jobs, workflows, tracer, changes, record, now }: JobQueueOptions) {
    this.jobs = jobs;
    this.#workflows = workflows;
    this.#spans = new QueueSpans(tracer);
    this.#changes = changes;
    this.#record = record;
    this.#now = now;
  }

  /** Takes a message. One whose id is there already is the same message: it is left as it is. */
  accept(message: NewMessage): { readonly row: JobRow; readonly isNew: boolean } {
    const { id, channel, mode, source, initial, sizeBytes, notBeforeMs, body, parent } = message;
    const known = this.jobs.job(id);
    if (known !== undefined) return { row: known, isNew: false };
    const attachments = body.attachments.length;
    const kind = "message" as const;
    return this.#add(
      {
        ...{ id, kind, channel, mode, source, initial, sizeBytes, attachments, notBeforeMs },
        asksFor: asksFor(body),
      },
      body,
      this.#spans.startMessage(message, body, parent),
    );
  }

  /** Takes a workflow, likewise. It waits its turn in its channel. */
  acceptWorkflow({ id, channel, sizeBytes, body, parent }: NewWorkflow): {
    readonly row: JobRow;
    readonly isNew: boolean;
  } {
    const known = this.jobs.job(id);
    if (known !== undefined) return { row: known, isNew: false };
    const entry = { id, channel, sizeBytes, mode: "followup" } as const;
    return this.#add(
      { ...entry, kind: "workflow", source: "user", initial: false, attachments: 0, notBeforeMs: 0, asksFor: "" },
      body,
      this.#spans.startWorkflow(entry, body, parent),
    );
  }

  #add(entry: EntryRow, body: MessageBody | WorkflowBody, context: SpanContext) {
    const nowMs = this.#now();
    const row: JobRow = {
      ...{ ...entry, seq: this.jobs.nextSeq(), status: "queued", acceptedMs: nowMs, waitingSinceMs: nowMs },
      ...{
        dispatchedMs: null,
        endedMs: null,
        reason: null,
        reasons: [],
        outcome: null,
        errorType: null,
        failure: null,
      },
      ...{ promptContext: context, waitedOn: null, attemptId: null, attempts: 0, lost: 0, unaccepted: 0 },
      waitContext: this.#spans.startWait(entry, context, this.jobs.queuedCount()),
      lastDispatch: null,
    };
    this.jobs.addJob(row, body);
    this.#changes.job(row.id);
    return { row, isNew: true };
  }

  waiting(): readonly QueuedJob[] {
    return this.jobs.queued();
  }

  inFlight(): AttemptRow[] {
    return this.jobs.inFlight();
  }

  /** Whether an attempt is in flight. */
  get isBusy(): boolean {
    return this.inFlight().length > 0;
  }

  /** Whether a job waits. */
  get hasWork(): boolean {
    return this.waiting().length > 0;
  }

  /** When the newest job ended, epoch ms; `undefined` where there is none, or it has not ended. */
  get lastEndMs(): number | undefined {
    return this.jobs.newestEndMs();
  }

  /**
   * Notes what a message waits for, and links its wait to that.
   * @param on a turn, spawn, restore or hibernate; none while a batch is open
   * @param isNext whether to link also where only `on` is another than before
   * @param place of the session in the line for a sandbox, where it stands in it
   */
  waitFor(message: QueuedJob, reason: QueueReason, on: SpanContext | undefined, isNext: boolean, place?: number): void {
    const isLinked = on === undefined || message.waitedOn === on.spanId;
    if (message.reason === reason && (isLinked || !isNext)) return;
    const { id, reasons, waitContext } = this.jobs.job(message.id) as JobRow;
    const isNew = message.reason !== reason;
    this.#spans.noteWait(waitContext, isNew ? reason : undefined, isLinked ? undefined : on, place);
    const waitedOn = on?.spanId ?? message.waitedOn;
    this.jobs.updateJob(id, { reason, reasons: isNew ? [...reasons, reason] : reasons, waitedOn });
  }

  /** The session has another place in the line for a sandbox, for which the message waits. */
  placed(id: string, place: number): void {
    const row = this.jobs.job(id);
    if (row === undefined) return;
    this.#spans.notePlace(row.waitContext, place);
    this.#changes.job(id);
  }

  /** Ends the waiting for others in every open batch. */
  closeBatches(): void {
    const nowMs = this.#now();
    for (const row of this.jobs.queued()) {
      if (row.mode === "collect" && row.notBeforeMs > nowMs) this.jobs.updateJob(row.id, { notBeforeMs: nowMs });
    }
  }

  /**
   * Begins an attempt: from here on its jobs count as dispatched, sent or not.
   * @param ids what is queued, of one channel: a workflow, a message, or several that are a collected batch
   */
  dispatch(ids: readonly string[], generation: number): BegunAttempt {
    const jobs = ids.map((id) => this.jobs.job(id)) as [JobRow, ...JobRow[]];
    const [head] = jobs;
    const nowMs = this.#now();
    const attempt: NewAttempt = {
      id: newId("att"),
      number: Math.max(...jobs.map(({ attempts }) => attempts)) + 1,
      waitMs: Math.max(...jobs.map(({ waitingSinceMs }) => nowMs - waitingSinceMs), 0),
      reason: head.reason ?? "immediate",
      nowMs,
    };
    for (const row of jobs) this.#spans.endWait(row, nowMs, "ok");
    const isWorkflow = head.kind === "workflow";
    const firstStep = isWorkflow ? this.#workflows.begin(head.id) : 0;
    const context = isWorkflow
      ? this.#spans.startWorkflowDispatch(attempt, head, this.jobs.workflow(head.id))
      : this.#spans.startPromptDispatch(attempt, jobs, this.jobs.message(ids.at(-1) ?? "").threadId);
    this.#addAttempt(attempt, jobs, generation, context);
    return { attempt, jobs, context, firstStep };
  }

  #addAttempt(
    { id, number, waitMs, reason, nowMs }: NewAttempt,
    rows: readonly [JobRow, ...JobRow[]],
    generation: number,
    context: SpanContext,
  ): void {
    for (const row of rows) {
      this.jobs.updateJob(row.id, {
        ...{ status: "dispatched", attemptId: id, attempts: row.attempts + 1, dispatchedMs: nowMs },
        ...{ reason, reasons: row.reasons.length === 0 ? [reason] : row.reasons, lastDispatch: context },
      });
      this.#changes.job(row.id);
    }
    this.jobs.addAttempt({
      ...{ id, number, generation, channel: rows[0].channel, state: "dispatched", context, dispatchedMs: nowMs },
      ...{ messageIds: rows.map((row) => row.id), acceptedMs: null, endedMs: null, waitMs, stop: null, progress: null },
    });
  }

  /** The runner has the attempt. @returns false if that changes nothing: it is known, or over */
  accepted(attemptId: string): boolean {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt?.state !== "dispatched") return false;
    this.jobs.updateAttempt(attemptId, { state: "accepted", acceptedMs: this.#now() });
    this.#spans.endDispatch(this.jobs.kindOf(attempt), attempt.context, "ok");
    for (const id of attempt.messageIds) {
      this.jobs.updateJob(id, { status: "accepted" });
      this.#changes.job(id);
    }
    return true;
  }

  /**
   * The runner never took the attempt: its messages are queued again, those that were not taken too often fail.
   * @param pauseMs before the next attempt; it doubles
   * @param mayHaveBegun whether the runner may be about to take it all the same: no command may be begun twice
   */
  takeBack(attemptId: string, errorType: "send_failed" | "not_accepted", pauseMs: number, mayHaveBegun = false): void {
    const attempt = this.#endAttempt(attemptId, { outcome: "error", errorType });
    if (attempt === undefined) return;
    for (const row of this.#jobsOf(attempt)) {
      const notBeforeMs = this.#now() + pauseMs * 2 ** row.unaccepted;
      this.jobs.updateJob(row.id, { unaccepted: row.unaccepted + 1, notBeforeMs });
      const isOver = mayHaveBegun && this.#afterLoss(row, false) !== "again";
      this.#again(row, attempt, !isOver && row.unaccepted + 1 < MAX_UNACCEPTED ? undefined : errorType);
    }
  }

  /** The runner cannot make sense of the work: no other attempt would fare better. */
  refuse(attemptId: string, errorType: "workflow_invalid"): void {
    const attempt = this.#endAttempt(attemptId, { outcome: "error", errorType });
    if (attempt === undefined) return;
    for (const row of this.#jobsOf(attempt)) this.#done(row, "error", errorType);
  }

  /** The link to the runner that works on it broke, or is back. */
  addEvent(id: string, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    const row = this.jobs.job(id);
    if (row !== undefined) this.#spans.addEvent(row, event);
  }

  /**
   * Whoever worked on the attempt is gone. Its messages are tried once more, then they fail; a workflow may have come to its
   * end.
   * @param isSandboxGone whether the files went, too
   * @param lostMs when it was last heard, epoch ms: there the attempt has ended, and the next wait begins
   */
  lose(attemptId: string, isSandboxGone: boolean, lostMs: number, summary?: TurnSummary | null): void {
    // What ended was begun, also where that was not heard of.
    if (summary !== undefined) this.accepted(attemptId);
    // A runner that takes another's place knows less of its work than the other had said.
    const known = this.jobs.attempt(attemptId)?.progress ?? summary;
    const attempt = this.#endAttempt(attemptId, { outcome: "lost", errorType: "runner_lost", summary: known }, lostMs);
    if (attempt === undefined) return;
    for (const row of this.#jobsOf(attempt)) {
      this.jobs.updateJob(row.id, { lost: row.lost + 1 });
      const after = this.#afterLoss(row, isSandboxGone);
      if (after === "done") {
        const { outcome, errorType, failure } = this.#workflows.outcome(row.id);
        this.#done(row, outcome, errorType, undefined, failure);
      } else {
        const failure = after === "again" && row.lost + 1 < MAX_LOST ? undefined : "runner_lost";
        this.#again(row, attempt, failure, "runner_disconnected");
      }
    }
  }

  /**
   * The runner is gone, and with it all that was worked on there.
   * @param isSandboxGone whether its files are gone, too: then also for workflows that waited to go on in it
   */
  loseAll(isSandboxGone: boolean, lostMs: number): void {
    for (const { id } of this.inFlight()) this.lose(id, isSandboxGone, lostMs);
    if (!isSandboxGone) return;
    for (const { id, kind } of this.waiting()) {
      const row = kind === "workflow" ? this.jobs.job(id) : undefined;
      const isOver = row !== undefined && row.lost > 0 && this.#afterLoss(row, true) === "over";
      if (isOver) this.endQueued(id, "error", "runner_lost");
    }
  }

  #afterLoss({ id, kind }: JobRow, isSandboxGone: boolean): "done" | "again" | "over" {
    return kind === "message" ? "again" : this.#workflows.afterLoss(id, isSandboxGone);
  }

  /** Notes what an attempt has come to so far. */
  noteProgress(attemptId: string, progress: TurnSummary): void {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt !== undefined && attempt.state !== "ended") this.jobs.updateAttempt(attemptId, { progress });
  }

  /** Asks for the end of an attempt; it ends when the runner says so, or without it. @returns false if it is being stopped or over */
  stop(attemptId: string, reason: StopReason, cause: SpanContext | undefined): boolean {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended" || attempt.stop !== null) return false;
    this.jobs.updateAttempt(attemptId, { stop: { reason, cause: cause ?? null } });
    return true;
  }

  /** The work is over, and with it the messages, or the workflow. @returns false if it was over before */
  end(
    attemptId: string,
    outcome: "ok" | "error" | "aborted",
    errorType: WorkError | undefined,
    summary?: TurnSummary | null,
    failure?: Failure,
  ): boolean {
    const stop = this.jobs.attempt(attemptId)?.stop ?? null;
    const final = outcome === "aborted" && stop !== null ? stopped(stop.reason) : { outcome, errorType };
    // A turn can end before its acceptance was heard of: then it was accepted all the same. What ends without the runner was not.
    if (summary !== undefined) this.accepted(attemptId);
    const attempt = this.#endAttempt(attemptId, { ...final, summary, failure });
    if (attempt === undefined) return false;
    for (const row of this.#jobsOf(attempt))
      this.#done(row, final.outcome, final.errorType, stop?.cause ?? undefined, failure);
    return true;
  }

  /** Ends what is queued. @returns false if it is not */
  endQueued(id: string, outcome: Outcome, errorType: WorkError, cause?: SpanContext, failure?: Failure): boolean {
    const row = this.jobs.job(id);
    if (row?.status !== "queued") return false;
    this.#spans.endWait(row, this.#now(), outcome, errorType, failure);
    this.#done(row, outcome, errorType, cause, failure);
    return true;
  }

  /** @param reason what the message waits for from the attempt's end on, where that is known */
  #again(row: JobRow, attempt: AttemptRow, failure: WorkError | undefined, reason?: QueueReason): void {
    if (attempt.stop !== null) {
      const { outcome, errorType } = stopped(attempt.stop.reason);
      this.#done(row, outcome, errorType, attempt.stop.cause ?? undefined);
    } else if (failure !== undefined) {
      this.#done(row, "error", failure);
    } else {
      const sinceMs = attempt.endedMs ?? this.#now();
      this.jobs.updateJob(row.id, {
        ...{ status: "queued", waitingSinceMs: sinceMs, reason: reason ?? null, waitedOn: null },
        ...(reason !== undefined && { reasons: [...row.reasons, reason] }),
        waitContext: this.#spans.startWaitAgain(row, row.promptContext, sinceMs, reason),
      });
      this.#changes.job(row.id);
    }
  }

  /** @param atMs when it ended, epoch ms: now unless given, and not before it began */
  #endAttempt(attemptId: string, end: AttemptEnd, atMs = this.#now()): AttemptRow | undefined {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended") return undefined;
    const endedMs = Math.max(Math.min(atMs, this.#now()), attempt.acceptedMs ?? attempt.dispatchedMs);
    const ended = { ...attempt, state: "ended", endedMs } as const;
    this.jobs.updateAttempt(attemptId, { state: "ended", endedMs });
    this.#spans.endDispatch(this.jobs.kindOf(attempt), attempt.context, end.outcome, end.errorType, endedMs);
    this.#record({
      type: "attempt-ended",
      attempt: ended,
      jobs: attempt.messageIds.map((id) => this.jobs.job(id) as JobRow),
      end: { ...end, summary: end.summary ?? attempt.progress ?? undefined },
    });
    return ended;
  }

  /** Those that are still this attempt's. */
  #jobsOf(attempt: AttemptRow): JobRow[] {
    const rows = attempt.messageIds.map((id) => this.jobs.job(id));
    return rows.filter((row) => row !== undefined && row.attemptId === attempt.id && row.status !== "done") as JobRow[];
  }

  #done(
    row: JobRow,
    outcome: Outcome,
    errorType: WorkError | undefined,
    cause?: SpanContext,
    failure: Failure | null = null,
  ): void {
    this.jobs.updateJob(row.id, {
      ...{ status: "done", endedMs: this.#now(), outcome, errorType: errorType ?? null, failure },
    });
    if (row.kind === "message") {
      this.#spans.endMessage(row, outcome, errorType, cause, failure);
    } else {
      const failed = this.#workflows.end(row.id, outcome, errorType);
      this.#spans.endWorkflow(row, outcome, errorType, cause, failure, failed);
    }
    this.#changes.job(row.id);
  }
}

/** Messages that ask for the same models ask for the same text. */
function asksFor({ model, models }: MessageBody): string {
  return model === undefined && models === undefined ? "" : JSON.stringify([model ?? null, models ?? null]);
}

function stopped(reason: StopReason): { readonly outcome: Outcome; readonly errorType: StopReason } {
  return { outcome: reason === "steered" ? "superseded" : "aborted", errorType: reason };
}
