/** Handles the runner's frames about attempts (accepted, refused, running, ended), and stops attempts. */
import { isLimitError } from "@valet/shared/limit-errors";
import type { Failure } from "@valet/shared/protocol/failure";
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import type { SpanFrame, SpansAck } from "@valet/shared/protocol/span-frame";
import { endedBy, isSaidBy } from "@valet/shared/spans";
import { type OpenSpan, parseOpenSpan } from "@valet/shared/tracing";
import type { Intervals } from "../../config.ts";
import type { Asker } from "../core/asker.ts";
import { failureIn } from "../core/failed-as.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Transactions } from "../core/transactions.ts";
import type { AttemptFrame } from "../link/frame-router.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { AttemptRow, StopReason } from "../queue/job-store.ts";
import type { WorkflowProgress } from "../queue/ports.ts";
import type { WorkError } from "../queue/queue-spans.ts";
import type { SignsOfLife } from "./signs-of-life.ts";
import type { Watchdogs } from "./watchdogs.ts";

type EndFrame = FromRunnerOf<"turn-ended" | "workflow-ended">;
type OutputFrame = Exclude<
  AttemptFrame,
  EndFrame | FromRunnerOf<"attempt-accepted"> | FromRunnerOf<"attempt-refused"> | FromRunnerOf<"working">
>;

/** Stores the output of attempts; the room `conversation` implements it. */
export interface AttemptSink {
  /** @returns whether the frame brought anything new */
  add(attempt: AttemptRow, frame: OutputFrame): boolean;
  finish(attempt: AttemptRow, frame: EndFrame, generation: number): void;
}

export interface AttemptsOptions {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly workflows: Pick<WorkflowProgress, "outcome">;
  readonly watchdogs: Watchdogs;
  readonly output: AttemptSink;
  readonly signs: Pick<SignsOfLife, "lastMs">;
  readonly traces: { announce(instanceId: string, span: OpenSpan): void };
  /** Stores the span frame that the end of an attempt carries. */
  readonly runnerSpans: { take(carried: SpanFrame): SpansAck | undefined };
  readonly link: { send(frame: ToRunner): boolean };
  readonly transactions: Transactions;
  readonly intervals: Pick<Intervals, "retryMs">;
  readonly now: () => number;
}

/** The reasons with which a runner may report that a job ended: by itself, or because the object stopped it. */
const WORK_ERRORS: readonly WorkError[] = endedBy("message", "workflow").filter((type) => isSaidBy(type, "runner"));

/** The span of the runner's work on an attempt. */
const WORK_SPANS = { message: "valet.turn", workflow: "valet.workflow.execute" } as const;

/** The runner ended, not the turn: a runner reports these when it has restarted, or when somebody else than the object stops it. */
const RUNNER_ENDED: readonly string[] = ["runner_lost", "runner_shutdown"];

export class Attempts {
  readonly #options: AttemptsOptions;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Reconciles the attempts in flight with those that the runner names in its hello. */
  onHello(hello: FromRunnerOf<"hello">, isBack: boolean): void {
    const { queue, signs, watchdogs } = this.#options;
    const known = new Set(hello.attempts);
    for (const attempt of queue.inFlight()) {
      if (isBack) this.#addEvent(attempt, "valet.runner.reconnected");
      if (known.has(attempt.id)) {
        watchdogs.touch(attempt.id);
        if (attempt.stop !== null) watchdogs.abort(attempt.id, attempt.stop.reason);
      } else if (attempt.state === "dispatched") {
        queue.takeBack(attempt.id, "not_accepted", 0);
      } else {
        queue.lose(attempt.id, false, signs.lastMs(hello.instanceId));
      }
    }
    for (const id of hello.attempts) this.#abortIfOver(id);
  }

  onLinkDown(): void {
    for (const attempt of this.#options.queue.inFlight()) this.#addEvent(attempt, "valet.runner.disconnected");
  }

  /** Stops the attempts of one channel, or all. @returns how many */
  stop(reason: StopReason, asker?: Asker, channel?: string): number {
    const { queue, watchdogs } = this.#options;
    const attempts = queue.inFlight().filter((attempt) => channel === undefined || attempt.channel === channel);
    const stopped = attempts.filter(({ id }) => queue.stop(id, reason, asker));
    for (const { id } of stopped) watchdogs.abort(id, reason);
    return stopped.length;
  }

  /** Ends every queued job. @returns how many */
  endQueued(outcome: "aborted" | "error", errorType: WorkError, asker?: Asker, failure?: Failure): number {
    const { queue } = this.#options;
    const waiting = queue.waiting();
    for (const { id } of waiting) queue.endQueued(id, outcome, errorType, asker, failure);
    return waiting.length;
  }

  onFrame(frame: AttemptFrame): void {
    const { queue, watchdogs } = this.#options;
    const attempt = queue.jobs.attempt(frame.attemptId);
    const running = attempt?.state === "ended" ? undefined : attempt;
    if (running !== undefined) watchdogs.touch(running.id);
    if (isEnd(frame)) this.#onEnd(running, frame);
    else if (running === undefined && asksToGoOn(frame)) this.#abortIfOver(frame.attemptId);
    else if (running === undefined || frame.type === "working") return;
    else if (frame.type === "attempt-accepted") this.#onAccepted(running, frame);
    else if (frame.type === "attempt-refused") this.#onRefused(running, frame);
    else this.#onOutput(running, frame);
  }

  /** Stores the spans that an end carries, ends the attempt unless it has ended, and acknowledges both. */
  #onEnd(running: AttemptRow | undefined, frame: EndFrame): void {
    const spans = frame.spans && this.#options.runnerSpans.take(frame.spans);
    if (running !== undefined) this.#endAttempt(running, frame);
    const { attemptId } = frame;
    this.#sendAfterCommit({ type: "turn-ended-ack", attemptId, ...(spans !== undefined && { spans }) });
  }

  #onAccepted(attempt: AttemptRow, { span }: FromRunnerOf<"attempt-accepted">): void {
    const { queue, watchdogs } = this.#options;
    queue.accepted(attempt.id);
    watchdogs.accepted(attempt.id);
    // If this frame is a repetition, the span may have ended: span frames, which are ordered, say which spans are open.
    if (attempt.state !== "dispatched") return;
    const isOwn = ({ name, parent }: OpenSpan) =>
      name === WORK_SPANS[queue.jobs.kindOf(attempt)] && parent?.spanId === attempt.context.spanId;
    this.#announce(attempt, span, isOwn);
  }

  /** Queues the job again after a pause: a runner that is shutting down would refuse the next attempt, too. */
  #onRefused({ id }: AttemptRow, { errorType }: FromRunnerOf<"attempt-refused">): void {
    const { queue, intervals } = this.#options;
    if (errorType === "workflow_invalid") queue.refuse(id, errorType);
    else queue.takeBack(id, "not_accepted", intervals.retryMs);
  }

  #onOutput(attempt: AttemptRow, frame: OutputFrame): void {
    const isNew = this.#options.output.add(attempt, frame);
    if (frame.type !== "workflow-step") return;
    if (frame.waits) this.#letRun(attempt, frame);
    if (isNew) this.#announce(attempt, frame.span, ({ name }) => name.startsWith("valet.workflow.step "));
  }

  /** Lets the command of a step run, now that its beginning is on record: after a loss it does not run again. */
  #letRun(attempt: AttemptRow, { state: { index } }: FromRunnerOf<"workflow-step">): void {
    const { queue, watchdogs } = this.#options;
    // What has begun was accepted, even if that frame never arrived, or could not be read.
    if (queue.accepted(attempt.id)) watchdogs.accepted(attempt.id);
    this.#sendAfterCommit({ type: "workflow-step-ack", attemptId: attempt.id, index });
  }

  #endAttempt(attempt: AttemptRow, frame: EndFrame): void {
    const { state, queue, workflows, output, signs, now } = this.#options;
    const { outcome, errorType, cause, stepDurations } = frame;
    // A restarted runner knows at most a part of the work of the one before it, and less than that one had told.
    const isOfPredecessor = errorType === "runner_lost";
    const summary = isOfPredecessor ? null : (frame.summary ?? null);
    if (isOfPredecessor && frame.summary !== undefined && attempt.progress === null) {
      queue.storeProgress(attempt.id, frame.summary);
    }
    output.finish(attempt, frame, state.record.generation);
    const isRunnerEnd = outcome !== "ok" && RUNNER_ENDED.includes(errorType ?? "");
    if (isRunnerEnd && attempt.stop === null) {
      // A restarted runner reports the end of the work of the one before it.
      const lostMs = errorType === "runner_lost" ? signs.lastMs(state.record.link.instanceId) : now();
      queue.lose(attempt.id, false, lostMs, summary, isLimitError(cause) ? cause : undefined);
    } else if (isRunnerEnd) {
      // Whatever ended it, somebody had stopped it before.
      queue.end(attempt.id, "aborted", undefined, summary);
    } else if (frame.type === "workflow-ended" && (outcome === "ok" || errorType === "workflow_step_failed")) {
      // Steps of an earlier attempt count, too.
      const own = workflows.outcome(attempt.jobIds[0] ?? "");
      queue.end(attempt.id, own.outcome, own.errorType, summary, own.failure, stepDurations);
    } else {
      const reason = outcome === "ok" ? undefined : workError(errorType);
      queue.end(attempt.id, outcome, reason, summary, failureIn(frame), stepDurations);
    }
  }

  /** Shows an open span of the runner, if it belongs to the attempt's trace and is the expected one. */
  #announce(attempt: AttemptRow, text: string | undefined, isExpected: (span: OpenSpan) => boolean): void {
    const { state, traces } = this.#options;
    const span = text === undefined ? undefined : parseOpenSpan(text);
    const { instanceId } = state.record.link;
    if (span === undefined || instanceId === undefined || !isExpected(span)) return;
    if (span.context.traceId === attempt.context.traceId) traces.announce(instanceId, span);
  }

  /** Aborts an attempt that has ended here while the runner still works on it. */
  #abortIfOver(attemptId: string): void {
    const attempt = this.#options.queue.jobs.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended") {
      this.#sendAfterCommit({ type: "abort", attemptId, reason: attempt?.stop?.reason ?? "user_abort" });
    }
  }

  #sendAfterCommit(frame: ToRunner): void {
    const { link, transactions } = this.#options;
    transactions.afterCommit(() => link.send(frame));
  }

  #addEvent(attempt: AttemptRow, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    for (const id of attempt.jobIds) this.#options.queue.addEvent(id, event);
  }
}

function isEnd(frame: AttemptFrame): frame is EndFrame {
  return frame.type === "turn-ended" || frame.type === "workflow-ended";
}

/** Whether the runner is about to work on an attempt, or waits for an answer before it does. */
function asksToGoOn(frame: AttemptFrame): boolean {
  return frame.type === "attempt-accepted" || (frame.type === "workflow-step" && frame.waits === true);
}

function workError(errorType: string | undefined): WorkError {
  return WORK_ERRORS.find((type) => type === errorType) ?? "_OTHER";
}
