/**
 * Manages the attempts that were dispatched to this sandbox, from their acceptance to the acknowledgement of their end, also
 * across a crash of the runner.
 */
import type { LimitError } from "@valet/shared/limit-errors";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import {
  type FromRunner,
  type FromRunnerOf,
  MAX_LINK_FRAME_BYTES,
  type ToRunnerOf,
} from "@valet/shared/protocol/runner-link";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { ErrorType } from "@valet/shared/spans";
import { parseOpenSpan } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { AgentAsks, AgentReply } from "../agent/agent.ts";
import { NO_SUMMARY } from "../agent/summary.ts";
import type { Progress, SpanOutbox } from "../spans/span-outbox.ts";
import type { Tracing } from "../spans/tracing.ts";
import type { AttemptEnded, Journal, RunningAttempt, StepFrame } from "../state/journal.ts";
import type { AbortReason } from "./agent-task.ts";
import { killCommandOf, stepIdOf } from "./command.ts";
import type { RunningTurn, RunningWorkflow } from "./job-runner.ts";
import { StepStarts } from "./step-starts.ts";
import type { TurnResult } from "./turn.ts";
import type { WorkflowResult } from "./workflow.ts";

const NOTHING_DONE = JSON.stringify(NO_SUMMARY);

/** The frames that a job sends while it runs. */
export type JobNews = FromRunnerOf<"part" | "part-delta" | "working"> | AgentAsks | StepFrame;

/** The dispatch of an attempt, of a message or a workflow. */
export type Dispatched = ToRunnerOf<"prompt"> | ToRunnerOf<"workflow-execute">;

/** Runs the jobs of attempts, those of different channels concurrently. */
export interface Jobs {
  run(dispatch: PromptDispatch): RunningTurn;
  execute(dispatch: WorkflowDispatch): RunningWorkflow;
  /** Aborts the attempt's job, if it is running. */
  abort(attemptId: string, reason: AbortReason): Promise<void>;
  /** Passes on a person's reply to a request of the agent. */
  reply(reply: AgentReply): Promise<void>;
}

/** How long a command waits for the acknowledgement of its step before the step is sent again, in ms. */
const RESEND_MS = 2_000;

export interface AttemptsOptions {
  readonly journal: Journal;
  readonly outbox: SpanOutbox;
  readonly tracing: Tracing;
  /** Sends a frame if there is a link. */
  send(frame: FromRunner): unknown;
  /** Receives problems after which work continues; never quotes content. */
  onProblem(problem: string): void;
  /**
   * Returns whether to drop the result of an ended attempt; the session then counts it as lost with this runner. By default no result
   * is dropped.
   */
  isVoid?(): boolean;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  /** The running jobs, by attempt. */
  readonly #running = new Map<string, { readonly finished: Promise<void>; progress(): TurnSummary; told: string }>();
  /** The agent's open requests to a person, by their id. */
  readonly #asked = new Map<string, AgentAsks>();
  /** Spans of an earlier runner that this one has ended. */
  readonly #ended = new Set<string>();
  readonly starts = new StepStarts();
  #jobs: Jobs | undefined;
  #isOpen = false;
  /** Whether the frame that ends an attempt may carry its last spans; depends on the SessionAgent of the current link. */
  carriesSpans = false;
  #onSettled: (() => void) | undefined;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  get isWorking(): boolean {
    return this.#running.size > 0;
  }

  /** Whether a running attempt can go on without a link. */
  get advances(): boolean {
    return this.#running.size > this.starts.size;
  }

  /** The ids of running attempts, and of ended ones that are not acknowledged. */
  get ids(): string[] {
    const { journal } = this.#options;
    return [...journal.running(), ...journal.unacknowledged()].map(({ attemptId }) => attemptId);
  }

  /** Returns the figures of the running jobs that have changed since the last call. */
  progress(): Progress {
    const changed: Progress = [];
    for (const [attemptId, running] of this.#running) {
      const summary = running.progress();
      // Durations always change, so they do not count.
      const figures = JSON.stringify({ ...summary, turnMs: 0, modelMs: 0, toolMs: 0, permissionWaitMs: 0 });
      if (figures === running.told) continue;
      running.told = figures;
      changed.push({ attemptId, summary });
    }
    return changed;
  }

  /**
   * Reports the attempts that a dead runner had running as lost, and ends its spans.
   * @param cause what ended it, if that is known
   */
  endWhatDied(cause?: LimitError): void {
    // The same time for all, so no child ends after its parent.
    const endMs = Date.now();
    this.#options.outbox.endLeftOpen((span, lastWriteMs) => this.#endLost(span, endMs, cause, lastWriteMs));
    for (const { attemptId, span, steps } of this.#options.journal.running()) {
      for (const { state, span: stepSpan } of steps ?? []) {
        if (state.status !== "running") continue;
        killCommandOf(stepIdOf(attemptId, state.index));
        this.#endLost(stepSpan, endMs, cause);
      }
      this.#endLost(span, endMs, cause);
      this.#finish(attemptId, { ...failure("runner_lost", steps), ...withoutUndefined({ cause }) });
    }
  }

  /** Ends a span as lost. The outbox and the journal may both know it; the first one counts. */
  #endLost(text: string | undefined, endMs: number, cause: LimitError | undefined, lastWriteMs = 0): void {
    const { journal, tracing } = this.#options;
    const open = text === undefined ? undefined : parseOpenSpan(text);
    if (open === undefined || this.#ended.has(open.context.spanId)) return;
    this.#ended.add(open.context.spanId);
    // It may also be the span of a workflow or a step, which end in the same way.
    const span = tracing.base.resumeSpan(open) as SpanOf<"valet.turn">;
    const lastSeenMs = Math.max(lastWriteMs, journal.lastWriteMs ?? 0);
    if (lastSeenMs > 0) span.setAttribute("valet.last_seen_ms", Math.floor(lastSeenMs));
    span.setAttribute("valet.error.cause", cause);
    endWith(span, "lost", "runner_lost", endMs);
  }

  /** Begins to accept attempts. */
  open(jobs: Jobs): void {
    this.#jobs = jobs;
    this.#isOpen = true;
  }

  /** Stops accepting attempts. */
  close(): void {
    this.#isOpen = false;
  }

  /** Begins the job of an attempt. For a known attempt it only sends the last frame about it again. */
  receive(dispatched: Dispatched): void {
    const { journal, onProblem } = this.#options;
    const { attemptId } = dispatched.dispatch;
    switch (journal.stateOf(attemptId)) {
      case "running":
        for (const running of journal.running()) if (running.attemptId === attemptId) this.#sendAccepted(running);
        break;
      case "ended":
        for (const frame of journal.unacknowledged()) if (frame.attemptId === attemptId) this.#options.send(frame);
        break;
      case "settled":
        onProblem("an attempt was dispatched again after its end");
        break;
      case undefined:
        if (this.#jobs !== undefined && this.#isOpen) this.#begin(this.#jobs, dispatched);
        else this.#refuse(attemptId, "not_accepted");
    }
  }

  abort(attemptId: string, reason: AbortReason): void {
    this.#jobs?.abort(attemptId, reason).catch((error: Error) => {
      this.#options.onProblem(`an attempt could not be aborted: ${error.name}`);
    });
  }

  /** Aborts all jobs. Resolves when they have ended. */
  async abortAll(reason: AbortReason): Promise<void> {
    for (const attemptId of this.#running.keys()) this.abort(attemptId, reason);
    await Promise.all(Array.from(this.#running.values(), ({ finished }) => finished));
  }

  reply(reply: AgentReply): void {
    this.#asked.delete(reply.type === "permission-reply" ? reply.permissionId : reply.questionId);
    this.#jobs?.reply(reply).catch((error: Error) => {
      this.#options.onProblem(`could not pass a person's reply to the agent: ${error.name}`);
    });
  }

  /** Settles an attempt whose end the SessionAgent has stored. */
  acknowledged(attemptId: string): void {
    const { journal, onProblem } = this.#options;
    if (journal.stateOf(attemptId) === "ended") this.#write(() => journal.settle(attemptId));
    else onProblem("the SessionAgent acknowledged the end of an attempt that has not ended");
    if (journal.unacknowledged().length === 0) this.#onSettled?.();
  }

  /** Resolves when all ends are acknowledged. */
  whenSettled(): Promise<void> {
    if (this.#options.journal.unacknowledged().length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled = resolve;
    });
  }

  /** Sends a frame of a job. Requests to a person and the progress of steps are sent again on a new link. */
  tell(news: JobNews): void {
    if (news.type === "workflow-step") this.#write(() => this.#options.journal.step(news));
    if (news.type === "permission-asked") this.#asked.set(news.permissionId, news);
    else if (news.type === "question-asked") this.#asked.set(news.questionId, news);
    this.#options.send(news);
  }

  /**
   * Sends the beginning of a step with a command, and again until that is acknowledged: the session may fail to store it while the link
   * stays. Resolves once the command may run, or `signal` aborts.
   */
  async beginCommand(step: StepFrame, signal: AbortSignal): Promise<void> {
    const mayRun = this.starts.wait(step.attemptId, step.state.index, signal);
    const frame = { ...step, waits: true };
    this.tell(frame);
    const again = setInterval(() => this.#options.send(frame), RESEND_MS);
    await mayRun;
    clearInterval(again);
  }

  /** Sends the running attempts and open requests again, on a new link. */
  resendRunning(): void {
    for (const running of this.#options.journal.running()) this.#sendAccepted(running);
    for (const frame of this.#asked.values()) this.#options.send(frame);
  }

  /** Sends the unacknowledged ends again, on a new link. */
  resendEnded(): void {
    for (const frame of this.#options.journal.unacknowledged()) this.#options.send(frame);
  }

  #begin(jobs: Jobs, dispatched: Dispatched): void {
    const { journal, tracing, onProblem } = this.#options;
    const { attemptId } = dispatched.dispatch;
    const isWorkflow = dispatched.type === "workflow-execute";
    tracing.clock.anchor();
    let running: RunningTurn | RunningWorkflow;
    try {
      journal.accept(attemptId, isWorkflow);
      running = isWorkflow ? jobs.execute(dispatched.dispatch) : jobs.run(dispatched.dispatch);
    } catch (error) {
      onProblem(`an attempt could not begin: ${(error as Error).name}`);
      this.#write(() => journal.settle(attemptId));
      this.#refuse(attemptId, "_OTHER");
      return;
    }
    const { openSpan, done } = running;
    if (openSpan !== undefined) this.#write(() => journal.begin(attemptId, openSpan));
    this.#sendAccepted({ attemptId, span: openSpan });
    const finished = (done as Promise<TurnResult | WorkflowResult>).then(
      (result) => this.#finish(attemptId, result),
      (error: Error) => {
        onProblem(`an attempt failed: ${error.name}`);
        this.#finish(attemptId, failure("_OTHER", isWorkflow ? [] : undefined));
      },
    );
    this.#running.set(attemptId, { finished, progress: () => running.progress(), told: NOTHING_DONE });
  }

  /** Ends an attempt. Its spans are sent before the end, or with it, so they are stored before the end arrives. */
  #finish(attemptId: string, result: TurnResult | WorkflowResult | Failure): void {
    const { journal, outbox, send } = this.#options;
    this.#running.delete(attemptId);
    for (const [id, asked] of this.#asked) if (asked.attemptId === attemptId) this.#asked.delete(id);
    if (this.#options.isVoid?.() === true) return;
    const frame: AttemptEnded =
      "steps" in result
        ? { ...result, type: "workflow-ended", attemptId }
        : { ...result, type: "turn-ended", attemptId };
    const room = this.carriesSpans ? MAX_LINK_FRAME_BYTES - Buffer.byteLength(JSON.stringify(frame)) : 0;
    const spans = outbox.flushInto(room);
    this.#write(() => journal.end(frame));
    send(spans === undefined ? frame : { ...frame, spans });
  }

  /** Sends the acceptance of an attempt, and the progress of its steps if it is a running workflow. */
  #sendAccepted({ attemptId, span, steps = [] }: RunningAttempt): void {
    this.#options.send({ type: "attempt-accepted", attemptId, ...withoutUndefined({ span }) });
    for (const step of steps) this.#options.send(step);
  }

  #refuse(attemptId: string, errorType: ErrorType): void {
    this.#options.send({ type: "attempt-refused", attemptId, errorType });
  }

  /** Reports errors of the journal instead of throwing: a failed disk must not end the work, and matters only in a crash. */
  #write(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#options.onProblem(`the journal cannot be written: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
}

/** The result of a job whose figures are unknown. */
type Failure = Omit<TurnResult, "summary"> | Omit<WorkflowResult, "summary">;

/**
 * Returns the result of a job that failed outside the agent, so its figures are unknown.
 * @param steps only for a workflow: the reported steps, of which the running ones become lost
 */
function failure(errorType: ErrorType, steps?: readonly StepFrame[]): Failure {
  const failed = { outcome: "error", errorType } as const;
  if (steps === undefined) return { ...failed, parts: [] };
  const states = steps.map(({ state }) =>
    state.status === "done" ? state : ({ index: state.index, status: "done", outcome: "lost", errorType } as const),
  );
  return { ...failed, steps: states };
}
