/** Runs the jobs of attempts: those of different channels side by side, those of one channel in order, none twice. */
import { stuckLimits } from "@valet/shared/limits";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { DEFAULT_TURN_BOUNDS, type TurnBounds, type TurnSummary } from "@valet/shared/protocol/turn";
import type { SpanContext } from "@valet/shared/tracing";
import type { AgentReply, ModelCallRef, PromptLimits, ToolCallRef } from "../agent/agent.ts";
import type { AbortReason, CallPermit } from "./agent-task.ts";
import { Turn, type TurnResult } from "./turn.ts";
import { Workflow, type WorkflowOptions, type WorkflowResult } from "./workflow.ts";

export interface JobRunnerOptions
  extends Omit<WorkflowOptions, "limits" | "turnBounds" | "partIntervalMs" | "commandTimeoutMs"> {
  /** How long a turn may go without any event of the agent, and a command of a workflow at all, before it is ended. */
  readonly stuckTurnMs: number;
  readonly limits?: Partial<Omit<PromptLimits, "stuckMs">>;
  readonly turnBounds?: Partial<TurnBounds> | undefined;
  readonly partIntervalMs?: number;
}

/** A job that has begun. */
export interface Running<R> {
  /** Its span, open, as `serialiseSpan` writes it; none where nothing is recorded. */
  readonly openSpan: string | undefined;
  /** What it has come to so far. */
  progress(): TurnSummary;
  /** Never rejects. */
  readonly done: Promise<R>;
}
export type RunningTurn = Running<TurnResult>;
export type RunningWorkflow = Running<WorkflowResult>;

/** What an attempt runs: the turn of a message, or a workflow. */
interface Job<R> {
  readonly openSpan: string | undefined;
  progress(): TurnSummary;
  run(before: Promise<unknown>): Promise<R>;
  abort(reason: AbortReason): Promise<void>;
  reply(reply: AgentReply): Promise<void>;
  toolContext(call: ToolCallRef): SpanContext | undefined;
  permitModelCall(call: ModelCallRef): Promise<CallPermit>;
}

/** With 2, 4 and 8 s between them. */
const MAX_FAILURES = 4;
const MAX_RETRY_WAIT_MS = 60_000;
const TOOL_OVERRUN_MS = 60_000;
const PART_INTERVAL_MS = 100;
/** Finished attempts that are remembered, should their dispatch come again. */
const MAX_FINISHED = 100;

export class JobRunner {
  readonly #options: WorkflowOptions;
  readonly #begun = new Map<string, Running<unknown> & { readonly job: Job<unknown> }>();
  /** The last job of each channel that has one running. */
  readonly #channels = new Map<string, Promise<unknown>>();
  readonly #busy = new Set<string>();

  constructor(options: JobRunnerOptions) {
    const { stuckTurnMs, limits, turnBounds, partIntervalMs = PART_INTERVAL_MS, ...rest } = options;
    const { silenceMs, abortMs } = stuckLimits(stuckTurnMs);
    this.#options = {
      ...rest,
      partIntervalMs,
      commandTimeoutMs: stuckTurnMs,
      turnBounds: { ...DEFAULT_TURN_BOUNDS, ...turnBounds },
      limits: {
        stuckMs: stuckTurnMs,
        silenceMs,
        overrunMs: TOOL_OVERRUN_MS,
        maxFailures: MAX_FAILURES,
        maxRetryWaitMs: MAX_RETRY_WAIT_MS,
        abortTimeoutMs: abortMs,
        ...limits,
      },
    };
  }

  /** The attempts whose jobs run. */
  get busy(): readonly string[] {
    return [...this.#busy];
  }

  /** Begins the turn of a message. An attempt that was taken before is not run again, and its turn is returned. */
  run(dispatch: PromptDispatch): RunningTurn {
    return this.#begin(dispatch, () => new Turn(this.#options, dispatch));
  }

  /** Begins to execute a workflow, likewise. */
  execute(dispatch: WorkflowDispatch): RunningWorkflow {
    return this.#begin(dispatch, () => new Workflow(this.#options, dispatch));
  }

  #begin<R>({ attemptId, channel }: PromptDispatch | WorkflowDispatch, make: () => Job<R>): Running<R> {
    // An attempt is of one kind.
    const known = this.#begun.get(attemptId) as Running<R> | undefined;
    if (known !== undefined) return known;
    const job = make();
    const done = job.run(this.#channels.get(channel) ?? Promise.resolve());
    const running = { job, openSpan: job.openSpan, progress: () => job.progress(), done };
    this.#begun.set(attemptId, running);
    this.#busy.add(attemptId);
    this.#channels.set(channel, done);
    void done.then(() => {
      this.#busy.delete(attemptId);
      if (this.#channels.get(channel) === done) this.#channels.delete(channel);
      this.#forget();
    });
    return running;
  }

  /**
   * Cuts an attempt short; nothing if it is not being worked on. Resolves when the agent has come to rest, shortly before the
   * job's own promise does.
   */
  async abort(attemptId: string, reason: AbortReason): Promise<void> {
    if (this.#busy.has(attemptId)) await this.#begun.get(attemptId)?.job.abort(reason);
  }

  /** Cuts everything short and waits until all jobs have ended. */
  async abortAll(reason: AbortReason): Promise<void> {
    const ended = this.busy.map((attemptId) => this.#begun.get(attemptId)?.done);
    await Promise.all(this.busy.map((attemptId) => this.abort(attemptId, reason)));
    await Promise.all(ended);
  }

  /**
   * Passes on what a person answered. An answer to what nothing at work has asked for is dropped.
   * @throws when the agent does not take it
   */
  async reply(reply: AgentReply): Promise<void> {
    for (const attemptId of this.#busy) await this.#begun.get(attemptId)?.job.reply(reply);
  }

  /** The job that a tool call belongs to, and the call's span. */
  findToolCall(call: ToolCallRef): { readonly attemptId: string; readonly context: SpanContext } | undefined {
    for (const attemptId of this.#busy) {
      const context = this.#begun.get(attemptId)?.job.toolContext(call);
      if (context !== undefined) return { attemptId, context };
    }
    return undefined;
  }

  /**
   * Decides on a model call that the agent is about to make. Resolves when everything that the agent told before the call has
   * been applied. What was cut short makes no call any more, even if the agent has not noticed that it has ended.
   */
  async permitModelCall(call: ModelCallRef): Promise<CallPermit> {
    const permits = await Promise.all([...this.#begun.values()].map(({ job }) => job.permitModelCall(call)));
    return {
      isRefused: permits.some(({ isRefused }) => isRefused),
      context: permits.find(({ context }) => context !== undefined)?.context,
    };
  }

  #forget(): void {
    for (const attemptId of this.#begun.keys()) {
      if (this.#begun.size - this.#busy.size <= MAX_FINISHED) return;
      if (!this.#busy.has(attemptId)) this.#begun.delete(attemptId);
    }
  }
}
