/**
 * The transitions of one job: queued, dispatched, accepted, queued again, done. Each changes the job's row and its spans together,
 * and records the change. job-queue.ts decides which transition follows from what happens to an attempt.
 */
import type { Failure } from "@valet/shared/protocol/failure";
import type { Outcome, QueueReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { Asker } from "../core/asker.ts";
import type { Changes } from "../core/changes.ts";
import type { AttemptRow, JobRow, JobStore, MessageBody, QueuedJob, WorkflowBody } from "./job-store.ts";
import type { QueueEvent, WorkflowProgress } from "./ports.ts";
import type { NewAttempt, QueueSpans, WorkError } from "./queue-spans.ts";

/** The columns of a new job that differ from job to job. */
export type EntryRow = Pick<
  JobRow,
  "id" | "kind" | "channel" | "mode" | "source" | "initial" | "sizeBytes" | "attachments" | "notBeforeMs" | "asksFor"
> & { readonly userId?: string | undefined };

export interface JobTransitionsOptions {
  readonly jobs: JobStore;
  readonly workflows: WorkflowProgress;
  readonly spans: QueueSpans;
  readonly changes: Changes;
  readonly record: (event: QueueEvent) => void;
  readonly now: () => number;
}

export class JobTransitions {
  readonly #options: JobTransitionsOptions;

  constructor(options: JobTransitionsOptions) {
    this.#options = options;
  }

  /** Adds a job to the queue. @param context of its open span */
  add(entry: EntryRow, body: MessageBody | WorkflowBody, context: SpanContext): JobRow {
    const { jobs, spans, changes, now } = this.#options;
    const nowMs = now();
    const row: JobRow = {
      ...entry,
      seq: jobs.nextSeq(),
      status: "queued",
      acceptedMs: nowMs,
      waitingSinceMs: nowMs,
      dispatchedMs: null,
      endedMs: null,
      reason: null,
      reasons: [],
      outcome: null,
      errorType: null,
      failure: null,
      context,
      waitedOn: null,
      attemptId: null,
      attempts: 0,
      lost: 0,
      unaccepted: 0,
      waitContext: spans.startWait(entry, context, jobs.queuedCount()),
      lastDispatch: null,
      userId: entry.userId ?? null,
      endedBy: null,
    };
    jobs.addJob(row, body);
    changes.job(row.id);
    return row;
  }

  /**
   * Records what a job waits for, and links its wait to that.
   * @param on the turn, spawn, restore or hibernate that it waits for; none while a batch is open
   * @param isNext whether to add a link if only `on` has changed
   * @param place the session's place in the line for a sandbox, if it is in that line
   */
  waitFor(job: QueuedJob, reason: QueueReason, on: SpanContext | undefined, isNext: boolean, place?: number): void {
    const { jobs, spans } = this.#options;
    const isLinked = on === undefined || job.waitedOn === on.spanId;
    if (job.reason === reason && (isLinked || !isNext)) return;
    const { id, reasons, waitContext } = jobs.job(job.id) as JobRow;
    const isNew = job.reason !== reason;
    spans.updateWait(waitContext, isNew ? reason : undefined, isLinked ? undefined : on, place);
    const waitedOn = on?.spanId ?? job.waitedOn;
    jobs.updateJob(id, { reason, reasons: isNew ? [...reasons, reason] : reasons, waitedOn });
  }

  /** Records the session's new place in the line for a sandbox on a job that waits for one. */
  placed(id: string, place: number): void {
    const { jobs, spans, changes } = this.#options;
    const row = jobs.job(id);
    if (row === undefined) return;
    spans.recordPlace(row.waitContext, place);
    changes.job(id);
  }

  /** Ends the wait of a job that belongs to an attempt now. @param context of the attempt's open dispatch span */
  dispatched(row: JobRow, { id, reason, nowMs }: NewAttempt, context: SpanContext): void {
    const { jobs, changes } = this.#options;
    jobs.updateJob(row.id, {
      status: "dispatched",
      attemptId: id,
      attempts: row.attempts + 1,
      dispatchedMs: nowMs,
      reason,
      reasons: row.reasons.length === 0 ? [reason] : row.reasons,
      lastDispatch: context,
    });
    changes.job(row.id);
  }

  accepted(id: string): void {
    const { jobs, changes } = this.#options;
    jobs.updateJob(id, { status: "accepted" });
    changes.job(id);
  }

  /**
   * Queues a job again after its attempt has ended.
   * @param reason what it waits for from then on, if that is known
   */
  again(row: JobRow, attempt: AttemptRow, reason: QueueReason | undefined): void {
    const { jobs, spans, changes, now } = this.#options;
    const sinceMs = attempt.endedMs ?? now();
    jobs.updateJob(row.id, {
      status: "queued",
      waitingSinceMs: sinceMs,
      reason: reason ?? null,
      waitedOn: null,
      ...(reason !== undefined && { reasons: [...row.reasons, reason] }),
      waitContext: spans.startWaitAgain(row, row.context, sinceMs, reason),
    });
    changes.job(row.id);
  }

  /** Ends a job with its outcome. @param asker who asked for the end, if anybody did */
  done(
    row: JobRow,
    outcome: Outcome,
    errorType: WorkError | undefined,
    asker: Asker = {},
    failure: Failure | null = null,
  ): void {
    const { jobs, workflows, spans, changes, record, now } = this.#options;
    const end = { status: "done", endedMs: now(), outcome, errorType: errorType ?? null, failure } as const;
    jobs.updateJob(row.id, { ...end, ...(asker.userId !== undefined && { endedBy: asker.userId }) });
    if (row.kind === "message") {
      spans.endMessage(row, outcome, errorType, asker, failure);
    } else {
      const failed = workflows.end(row.id, outcome, errorType);
      spans.endWorkflow(row, outcome, errorType, asker, failure, failed);
    }
    changes.job(row.id);
    record({ type: "job-ended", job: row, outcome, errorType, failure });
  }
}
