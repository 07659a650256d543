/**
 * The queue: jobs (messages and workflows), their attempts, and the spans of both. Callers run each method within a transaction.
 * Nothing here sends, waits, or decides what is due; queue-rules.ts does that.
 *
 * A job is queued, dispatched in an attempt, accepted by the runner, and done with exactly one outcome. An attempt that was not
 * accepted, or was lost, returns its jobs to the queue, up to {@link MAX_UNACCEPTED} and {@link MAX_LOST} times. A workflow returns
 * only if it is safe to continue, which the room `workflow` decides.
 */
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import type { Failure } from "@valet/shared/protocol/failure";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { ErrorType, Outcome, QueueReason } from "@valet/shared/spans";
import type { Asker } from "../core/asker.ts";
import type { Changes } from "../core/changes.ts";
import { newId } from "../core/ids.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { AttemptRow, JobRow, JobStore, MessageBody, QueuedJob, StopReason } from "./job-store.ts";
import { JobTransitions } from "./job-transitions.ts";
import type { AttemptEnd, BegunAttempt, NewMessage, NewWorkflow, QueueEvent, WorkflowProgress } from "./ports.ts";
import { MODES } from "./queue-rules.ts";
import { type NewAttempt, QueueSpans, type WorkError } from "./queue-spans.ts";

/** A job is retried once after its runner was lost. */
const MAX_LOST = 2;
/** After this many attempts that the runner did not accept, the job fails. */
const MAX_UNACCEPTED = 3;

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
  readonly #transitions: JobTransitions;
  readonly #record: (event: QueueEvent) => void;
  readonly #now: () => number;

  constructor({ jobs, workflows, tracer, changes, record, now }: JobQueueOptions) {
    this.jobs = jobs;
    this.#workflows = workflows;
    this.#spans = new QueueSpans(tracer);
    this.#transitions = new JobTransitions({ jobs, workflows, spans: this.#spans, changes, record, now });
    this.#record = record;
    this.#now = now;
  }

  /** Queues a message. A known id returns the existing job. */
  accept(message: NewMessage): { readonly row: JobRow; readonly isNew: boolean } {
    const { id, channel, mode, source, initial, sizeBytes, notBeforeMs, body, parent, userId } = message;
    const known = this.jobs.job(id);
    if (known !== undefined) return { row: known, isNew: false };
    const attachments = body.attachments.length;
    const entry = { id, channel, mode, source, initial, sizeBytes, attachments, notBeforeMs, userId } as const;
    const context = this.#spans.startMessage(message, body, parent);
    return {
      row: this.#transitions.add({ ...entry, kind: "message", asksFor: asksFor(body) }, body, context),
      isNew: true,
    };
  }

  /** Queues a workflow. A known id returns the existing job. */
  acceptWorkflow({ id, channel, sizeBytes, body, parent, userId, model }: NewWorkflow): {
    readonly row: JobRow;
    readonly isNew: boolean;
  } {
    const known = this.jobs.job(id);
    if (known !== undefined) return { row: known, isNew: false };
    const entry = { id, channel, sizeBytes, mode: "followup", userId } as const;
    const row = this.#transitions.add(
      { ...entry, kind: "workflow", source: "user", initial: false, attachments: 0, notBeforeMs: 0, asksFor: "" },
      body,
      this.#spans.startWorkflow({ ...entry, model }, body, parent),
    );
    return { row, isNew: true };
  }

  waiting(): readonly QueuedJob[] {
    return this.jobs.queued();
  }

  inFlight(): readonly AttemptRow[] {
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

  /** Records what a job waits for, as {@link JobTransitions.waitFor} says. */
  waitFor(...wait: Parameters<JobTransitions["waitFor"]>): void {
    this.#transitions.waitFor(...wait);
  }

  /** Records the session's new place in the line for a sandbox on a job that waits for one. */
  placed(id: string, place: number): void {
    this.#transitions.placed(id, place);
  }

  /** Closes every open batch: it waits for no further messages. */
  closeBatches(): void {
    const nowMs = this.#now();
    for (const row of this.jobs.queued()) {
      if (MODES[row.mode].isCollected && row.notBeforeMs > nowMs) this.jobs.updateJob(row.id, { notBeforeMs: nowMs });
    }
  }

  /**
   * Begins an attempt. Its jobs count as dispatched from here on, whether or not the frame is sent.
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
    for (const row of jobs) this.#transitions.dispatched(row, attempt, context);
    const { id, number, waitMs } = attempt;
    this.jobs.addAttempt({
      id,
      number,
      generation,
      channel: head.channel,
      state: "dispatched",
      context,
      dispatchedMs: nowMs,
      jobIds: jobs.map((row) => row.id),
      acceptedMs: null,
      endedMs: null,
      waitMs,
      stop: null,
      progress: null,
    });
    return { attempt, jobs, context, firstStep };
  }

  /** Records that the runner accepted the attempt. @returns false if that was known, or the attempt has ended */
  accepted(attemptId: string): boolean {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt?.state !== "dispatched") return false;
    this.jobs.updateAttempt(attemptId, { state: "accepted", acceptedMs: this.#now() });
    this.#spans.endDispatch(this.jobs.kindOf(attempt), attempt.context, "ok");
    for (const id of attempt.jobIds) this.#transitions.accepted(id);
    return true;
  }

  /**
   * Ends an attempt that the runner did not accept. Its jobs are queued again, or fail after {@link MAX_UNACCEPTED} attempts.
   * @param pauseMs the wait before the next attempt; it doubles each time
   * @param mayHaveBegun whether the runner may still begin it; no command may run twice
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

  /** Fails a job that the runner cannot read: another attempt would fail in the same way. */
  refuse(attemptId: string, errorType: "workflow_invalid"): void {
    const attempt = this.#endAttempt(attemptId, { outcome: "error", errorType });
    if (attempt === undefined) return;
    for (const row of this.#jobsOf(attempt)) this.#transitions.done(row, "error", errorType);
  }

  /** Adds an event to a job's span: the link to its runner broke, or is back. */
  addEvent(id: string, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    const row = this.jobs.job(id);
    if (row !== undefined) this.#spans.addEvent(row, event);
  }

  /**
   * Ends an attempt whose runner was lost. Its jobs are retried once, then they fail; a workflow whose steps are all done is done.
   * @param isSandboxGone whether the sandbox's files are lost, too
   * @param lostMs when the runner was last heard, epoch ms: the attempt ends then, and the next wait begins
   */
  lose(
    attemptId: string,
    isSandboxGone: boolean,
    lostMs: number,
    summary?: TurnSummary | null,
    cause?: ErrorType,
  ): void {
    // An attempt that has ended was accepted, even if that frame never arrived.
    if (summary !== undefined) this.accepted(attemptId);
    const details: Failure | undefined = cause && { cause };
    const end = { outcome: "lost", errorType: "runner_lost", summary, failure: details } as const;
    const attempt = this.#endAttempt(attemptId, end, lostMs);
    if (attempt === undefined) return;
    for (const row of this.#jobsOf(attempt)) {
      this.jobs.updateJob(row.id, { lost: row.lost + 1 });
      if (row.kind === "workflow") this.#workflows.lose(row.id);
      const after = this.#afterLoss(row, isSandboxGone);
      if (after === "done") {
        const { outcome, errorType, failure } = this.#workflows.outcome(row.id);
        this.#transitions.done(row, outcome, errorType, undefined, failure);
      } else {
        const failure = after === "again" && row.lost + 1 < MAX_LOST ? undefined : "runner_lost";
        this.#again(row, attempt, failure, "runner_disconnected", details);
      }
    }
  }

  /**
   * Ends every attempt in flight: the runner is lost.
   * @param isSandboxGone whether its files are lost, too; then workflows that waited to continue there end as well
   * @param cause what ended it, if that is known
   */
  loseAll(isSandboxGone: boolean, lostMs: number, cause?: ErrorType): void {
    for (const { id } of this.inFlight()) this.lose(id, isSandboxGone, lostMs, undefined, cause);
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

  /** Stores what the runner has measured of an attempt so far. */
  storeProgress(attemptId: string, progress: TurnSummary): void {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt !== undefined && attempt.state !== "ended") this.jobs.updateAttempt(attemptId, { progress });
  }

  /** Marks an attempt as being stopped. @returns false if it is being stopped already, or has ended */
  stop(attemptId: string, reason: StopReason, { context, userId }: Asker = {}): boolean {
    const attempt = this.jobs.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended" || attempt.stop !== null) return false;
    this.jobs.updateAttempt(attemptId, {
      stop: { reason, cause: context ?? null, ...(userId !== undefined && { by: userId }) },
    });
    return true;
  }

  /** Ends an attempt, and its jobs with it. @returns false if it had ended before */
  end(
    attemptId: string,
    outcome: "ok" | "error" | "aborted",
    errorType: WorkError | undefined,
    summary?: TurnSummary | null,
    failure?: Failure,
    stepDurations?: readonly StepDurations[],
  ): boolean {
    const stop = this.jobs.attempt(attemptId)?.stop ?? null;
    const isStopped = outcome === "aborted" && stop !== null;
    const final = isStopped ? stopped(stop.reason) : { outcome, errorType };
    // A turn can end before its acceptance arrives: then it was accepted. One that ends without the runner was not.
    if (summary !== undefined) this.accepted(attemptId);
    const attempt = this.#endAttempt(attemptId, { ...final, summary, failure, stepDurations });
    if (attempt === undefined) return false;
    for (const row of this.#jobsOf(attempt))
      this.#transitions.done(row, final.outcome, final.errorType, isStopped ? askerOf(stop) : undefined, failure);
    return true;
  }

  /** Ends a queued job. @returns false if it is not queued */
  endQueued(id: string, outcome: Outcome, errorType: WorkError, asker?: Asker, failure?: Failure): boolean {
    const row = this.jobs.job(id);
    if (row?.status !== "queued") return false;
    this.#spans.endWait(row, this.#now(), outcome, errorType, failure);
    this.#transitions.done(row, outcome, errorType, asker, failure);
    return true;
  }

  /**
   * Queues a job again, unless its attempt was being stopped or the job has failed.
   * @param reason what the job waits for from the end of the attempt on, if that is known
   * @param details of the failure
   */
  #again(
    row: JobRow,
    attempt: AttemptRow,
    failure: WorkError | undefined,
    reason?: QueueReason,
    details?: Failure,
  ): void {
    if (attempt.stop !== null) {
      const { outcome, errorType } = stopped(attempt.stop.reason);
      this.#transitions.done(row, outcome, errorType, askerOf(attempt.stop));
    } else if (failure !== undefined) {
      this.#transitions.done(row, "error", failure, undefined, details);
    } else {
      this.#transitions.again(row, attempt, reason);
    }
  }

  /** @param atMs when it ended, epoch ms; it is limited to the time between its beginning and now */
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
      jobs: attempt.jobIds.map((id) => this.jobs.job(id) as JobRow),
      end: {
        ...end,
        summary: end.summary ?? attempt.progress ?? undefined,
        isSummarySoFar: end.summary == null && attempt.progress !== null,
      },
    });
    return ended;
  }

  /** Returns the jobs that still belong to this attempt. */
  #jobsOf(attempt: AttemptRow): JobRow[] {
    const rows = attempt.jobIds.map((id) => this.jobs.job(id));
    return rows.filter((row) => row !== undefined && row.attemptId === attempt.id && row.status !== "done") as JobRow[];
  }
}

/** Returns a text that is equal for messages which ask for the same models. */
function asksFor({ model, models }: MessageBody): string {
  return model === undefined && models === undefined ? "" : JSON.stringify([model ?? null, models ?? null]);
}

function stopped(reason: StopReason): { readonly outcome: Outcome; readonly errorType: StopReason } {
  return { outcome: reason === "steered" ? "superseded" : "aborted", errorType: reason };
}

/** Returns who asked for an attempt to be stopped. */
function askerOf({ cause, by }: NonNullable<AttemptRow["stop"]>): Asker {
  return { userId: by, context: cause ?? undefined };
}
