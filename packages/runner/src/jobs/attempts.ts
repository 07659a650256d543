/**
 * The attempts that were dispatched to this sandbox: what is promised and owed for each, from its acceptance to the
 * acknowledgement of its end, also across the death of a runner.
 */

import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import type { FromRunner, FromRunnerOf, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { ErrorType } from "@valet/shared/spans";
import { parseOpenSpan } from "@valet/shared/tracing";
import type { AgentAsks, AgentReply } from "../agent/agent.ts";
import { NO_SUMMARY } from "../agent/summary.ts";
import type { Progress, SpanOutbox } from "../spans/span-outbox.ts";
import type { Tracing } from "../spans/tracing.ts";
import type { AttemptEnded, Journal, RunningAttempt, StepFrame } from "../state/journal.ts";
import type { AbortReason } from "./agent-task.ts";
import { killCommandOf, stepIdOf } from "./command.ts";
import type { RunningTurn, RunningWorkflow } from "./job-runner.ts";
import type { TurnResult } from "./turn.ts";
import type { WorkflowResult } from "./workflow.ts";

const NOTHING_DONE = JSON.stringify(NO_SUMMARY);

/** What a job tells while it runs. */
export type JobNews = FromRunnerOf<"part" | "part-delta" | "working"> | AgentAsks | StepFrame;

/** An attempt that is dispatched: a message's or a workflow's. */
export type Dispatched = ToRunnerOf<"prompt"> | ToRunnerOf<"workflow-execute">;

/** Runs the jobs of attempts, those of different channels side by side. */
export interface Jobs {
  run(dispatch: PromptDispatch): RunningTurn;
  execute(dispatch: WorkflowDispatch): RunningWorkflow;
  /** Ends the attempt's job, if it runs. */
  abort(attemptId: string, reason: AbortReason): Promise<void>;
  /** Passes on what a person said to what the agent asked. */
  reply(reply: AgentReply): Promise<void>;
}

export interface AttemptsOptions {
  readonly journal: Journal;
  readonly outbox: SpanOutbox;
  readonly tracing: Tracing;
  /** Sends a frame if there is a link. */
  send(frame: FromRunner): unknown;
  /** What goes wrong and is survived; never quotes content. */
  onProblem(problem: string): void;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  /** The running jobs, by attempt. */
  readonly #running = new Map<string, { readonly finished: Promise<void>; progress(): TurnSummary; told: string }>();
  /** What the agent waits for a person to answer, by its id. */
  readonly #asked = new Map<string, AgentAsks>();
  /** Spans of an earlier runner that were ended in its place. */
  readonly #ended = new Set<string>();
  #jobs: Jobs | undefined;
  #isOpen = false;
  #onSettled: (() => void) | undefined;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  get isWorking(): boolean {
    return this.#running.size > 0;
  }

  /** Those whose job runs, and those whose end is not acknowledged. */
  get ids(): string[] {
    const { journal } = this.#options;
    return [...journal.running(), ...journal.unacknowledged()].map(({ attemptId }) => attemptId);
  }

  /** Figures of the running jobs, where they have changed since this was asked last. */
  progress(): Progress {
    const changed: Progress = [];
    for (const [attemptId, running] of this.#running) {
      const summary = running.progress();
      // Time goes by in any case.
      const figures = JSON.stringify({ ...summary, turnMs: 0, modelMs: 0, toolMs: 0, permissionWaitMs: 0 });
      if (figures === running.told) continue;
      running.told = figures;
      changed.push({ attemptId, summary });
    }
    return changed;
  }

  /** What the runner before this one was working on went with it: it is reported, and its spans ended. */
  endWhatDied(): void {
    // All at once: what lay in each other does so in the end.
    const endMs = Date.now();
    this.#options.outbox.endLeftOpen((span, lastWriteMs) => this.#endLost(span, endMs, lastWriteMs));
    for (const { attemptId, span, steps } of this.#options.journal.running()) {
      for (const { state, span: stepSpan } of steps ?? []) {
        if (state.status !== "running") continue;
        killCommandOf(stepIdOf(attemptId, state.index));
        this.#endLost(stepSpan, endMs);
      }
      this.#endLost(span, endMs);
      this.#finish(attemptId, failure("runner_lost", steps));
    }
  }

  /** Of two that know of a span, the outbox's file and the journal, the first ends it. */
  #endLost(text: string | undefined, endMs: number, lastWriteMs = 0): void {
    const { journal, tracing } = this.#options;
    const open = text === undefined ? undefined : parseOpenSpan(text);
    if (open === undefined || this.#ended.has(open.context.spanId)) return;
    this.#ended.add(open.context.spanId);
    // Of a workflow or a step, too: in what is done to it here they do not differ.
    const span = tracing.base.resumeSpan(open) as SpanOf<"valet.turn">;
    const lastSeenMs = Math.max(lastWriteMs, journal.lastWriteMs ?? 0);
    if (lastSeenMs > 0) span.setAttribute("valet.last_seen_ms", Math.floor(lastSeenMs));
    endWith(span, "lost", "runner_lost", endMs);
  }

  /** From now on attempts are accepted. */
  open(jobs: Jobs): void {
    this.#jobs = jobs;
    this.#isOpen = true;
  }

  /** No longer. */
  close(): void {
    this.#isOpen = false;
  }

  /** Begins the job of an attempt. One that came before is not begun again; what is known of it is told again. */
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
        onProblem("an attempt came again after its end");
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

  /** Ends all jobs. Resolves when they have ended. */
  async abortAll(reason: AbortReason): Promise<void> {
    for (const attemptId of this.#running.keys()) this.abort(attemptId, reason);
    await Promise.all(Array.from(this.#running.values(), ({ finished }) => finished));
  }

  reply(reply: AgentReply): void {
    this.#asked.delete(reply.type === "permission-reply" ? reply.permissionId : reply.questionId);
    this.#jobs?.reply(reply).catch((error: Error) => {
      this.#options.onProblem(`the agent could not be told what a person answered: ${error.name}`);
    });
  }

  /** The end of this attempt is durable where it belongs. */
  acknowledged(attemptId: string): void {
    const { journal, onProblem } = this.#options;
    if (journal.stateOf(attemptId) === "ended") this.#write(() => journal.settle(attemptId));
    else onProblem("an attempt was acknowledged that had not ended");
    if (journal.unacknowledged().length === 0) this.#onSettled?.();
  }

  /** Resolves when all ends are acknowledged. */
  whenSettled(): Promise<void> {
    if (this.#options.journal.unacknowledged().length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled = resolve;
    });
  }

  /** Passes on what a job tells. What a person is asked, and how far steps have come, is told again on a new link. */
  tell(news: JobNews): void {
    if (news.type === "workflow-step") this.#write(() => this.#options.journal.step(news));
    if (news.type === "permission-asked") this.#asked.set(news.permissionId, news);
    else if (news.type === "question-asked") this.#asked.set(news.questionId, news);
    this.#options.send(news);
  }

  /** There is a new link: what runs is told again. */
  resendRunning(): void {
    for (const running of this.#options.journal.running()) this.#sendAccepted(running);
    for (const frame of this.#asked.values()) this.#options.send(frame);
  }

  /** And what has ended unacknowledged. */
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

  /** The spans of the job go first: whoever hears of its end finds them. */
  #finish(attemptId: string, result: TurnResult | WorkflowResult | Failure): void {
    const { journal, outbox, send } = this.#options;
    this.#running.delete(attemptId);
    for (const [id, asked] of this.#asked) if (asked.attemptId === attemptId) this.#asked.delete(id);
    const frame: AttemptEnded =
      "steps" in result
        ? { ...result, type: "workflow-ended", attemptId }
        : { ...result, type: "turn-ended", attemptId };
    outbox.flush();
    this.#write(() => journal.end(frame));
    send(frame);
  }

  /** With how far its steps have come, where it is a workflow that goes on. */
  #sendAccepted({ attemptId, span, steps = [] }: RunningAttempt): void {
    this.#options.send({ type: "attempt-accepted", attemptId, ...(span !== undefined && { span }) });
    for (const step of steps) this.#options.send(step);
  }

  #refuse(attemptId: string, errorType: ErrorType): void {
    this.#options.send({ type: "attempt-refused", attemptId, errorType });
  }

  /** A disk that fails in the middle of work costs what a crash would lose, not the work. */
  #write(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#options.onProblem(`the journal cannot be written: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
}

/** Of which nobody knows what it has cost. */
type Failure = Omit<TurnResult, "summary"> | Omit<WorkflowResult, "summary">;

/**
 * A job that failed outside of the agent, so that nothing is known of what it cost.
 * @param steps of a workflow: those that were told of; those that ran are lost
 */
function failure(errorType: ErrorType, steps?: readonly StepFrame[]): Failure {
  const failed = { outcome: "error", errorType } as const;
  if (steps === undefined) return { ...failed, parts: [] };
  const states = steps.map(({ state }) =>
    state.status === "done" ? state : ({ index: state.index, status: "done", outcome: "lost", errorType } as const),
  );
  return { ...failed, steps: states };
}
