/** Runs the jobs of attempts: those of different channels concurrently, those of one channel in order, and none twice. */
import { stuckLimits } from "@valet/shared/limits";
import type { CommitOrigin } from "@valet/shared/protocol/commit-trailers";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { DEFAULT_TURN_BOUNDS, type TurnBounds, type TurnSummary } from "@valet/shared/protocol/turn";
import type { SpanContext } from "@valet/shared/tracing";
import type { AgentReply, ModelCallRef, PromptLimits, ToolCallRef } from "../agent/agent.ts";
import type { AbortReason, CallPermit } from "./agent-task.ts";
import { commitOriginOf } from "./dispatch-attributes.ts";
import { Turn, type TurnResult } from "./turn.ts";
import { Workflow, type WorkflowOptions, type WorkflowResult } from "./workflow.ts";

export interface JobRunnerOptions
  extends Omit<WorkflowOptions, "limits" | "turnBounds" | "partIntervalMs" | "commandTimeoutMs"> {
  /** How long a turn may go without an event of the agent, and how long a command of a workflow may take. */
  readonly stuckTurnMs: number;
  readonly limits?: Partial<Omit<PromptLimits, "stuckMs">>;
  readonly turnBounds?: Partial<TurnBounds> | undefined;
  readonly partIntervalMs?: number;
  readonly onWork?: WorkObserver | undefined;
}

/** Is called at the start and the end of each attempt's work. */
export interface WorkObserver {
  began(dispatch: PromptDispatch | WorkflowDispatch): void;
  /** Must not reject. If the job used tools, and so may have changed files, the channel's next job waits for it. */
  ended(dispatch: PromptDispatch | WorkflowDispatch, usedTools: boolean): Promise<void>;
}

/** A job that has begun. */
export interface Running<R> {
  /** Its open span as `serialiseSpan` writes it; `undefined` if it is not recorded. */
  readonly openSpan: string | undefined;
  /** Returns the figures so far. */
  progress(): TurnSummary;
  /** Never rejects. */
  readonly done: Promise<R>;
}
export type RunningTurn = Running<TurnResult>;
export type RunningWorkflow = Running<WorkflowResult>;

/** The job of an attempt: the turn of a message, or a workflow. */
interface Job<R> {
  readonly openSpan: string | undefined;
  progress(): TurnSummary;
  run(before: Promise<unknown>): Promise<R>;
  abort(reason: AbortReason): Promise<void>;
  reply(reply: AgentReply): Promise<void>;
  toolContext(call: ToolCallRef): SpanContext | undefined;
  worksIn(sessionId: string): boolean;
  permitModelCall(call: ModelCallRef): Promise<CallPermit>;
}

/** With waits of 2, 4 and 8 s in between. */
const MAX_FAILURES = 4;
const MAX_RETRY_WAIT_MS = 60_000;
const TOOL_OVERRUN_MS = 60_000;
const PART_INTERVAL_MS = 100;
/** How many finished attempts are kept, to recognise a repeated dispatch. */
const MAX_FINISHED = 100;

export class JobRunner {
  readonly #options: WorkflowOptions;
  readonly #onWork: WorkObserver | undefined;
  readonly #begun = new Map<string, Running<unknown> & { readonly job: Job<unknown>; readonly origin: CommitOrigin }>();
  /** The last job of each channel that has one running. */
  readonly #channels = new Map<string, Promise<unknown>>();
  readonly #busy = new Set<string>();

  constructor(options: JobRunnerOptions) {
    const { stuckTurnMs, limits, turnBounds, partIntervalMs = PART_INTERVAL_MS, onWork, ...rest } = options;
    this.#onWork = onWork;
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

  /** The attempts whose jobs are running. */
  get busy(): readonly string[] {
    return [...this.#busy];
  }

  /** Begins the turn of a message. For a known attempt it returns the existing turn. */
  run(dispatch: PromptDispatch): RunningTurn {
    return this.#begin(dispatch, () => new Turn(this.#options, dispatch));
  }

  /** Begins to execute a workflow. For a known attempt it returns the existing execution. */
  execute(dispatch: WorkflowDispatch): RunningWorkflow {
    return this.#begin(dispatch, () => new Workflow(this.#options, dispatch));
  }

  #begin<R>(dispatch: PromptDispatch | WorkflowDispatch, make: () => Job<R>): Running<R> {
    const { attemptId, channel } = dispatch;
    // An attempt is always the same kind of job.
    const known = this.#begun.get(attemptId) as Running<R> | undefined;
    if (known !== undefined) return known;
    const job = make();
    const before = (this.#channels.get(channel) ?? Promise.resolve()).then(() => this.#onWork?.began(dispatch));
    const done = job.run(before);
    const running = {
      job,
      openSpan: job.openSpan,
      progress: () => job.progress(),
      done,
      origin: commitOriginOf(dispatch),
    };
    this.#begun.set(attemptId, running);
    this.#busy.add(attemptId);
    const settled = done.then(async (result) => {
      this.#busy.delete(attemptId);
      this.#forget();
      const mayChangeFiles = usedTools(dispatch, result);
      const ended = this.#onWork?.ended(dispatch, mayChangeFiles);
      if (mayChangeFiles) await ended;
    });
    this.#channels.set(channel, settled);
    void settled.then(() => {
      if (this.#channels.get(channel) === settled) this.#channels.delete(channel);
    });
    return running;
  }

  /**
   * Aborts an attempt, if it is running. Resolves once the agent is idle, shortly before the job's own promise resolves.
   */
  async abort(attemptId: string, reason: AbortReason): Promise<void> {
    if (this.#busy.has(attemptId)) await this.#begun.get(attemptId)?.job.abort(reason);
  }

  /** Aborts all jobs and waits until they have ended. */
  async abortAll(reason: AbortReason): Promise<void> {
    const ended = this.busy.map((attemptId) => this.#begun.get(attemptId)?.done);
    await Promise.all(this.busy.map((attemptId) => this.abort(attemptId, reason)));
    await Promise.all(ended);
  }

  /**
   * Passes on a person's reply. Ignores a reply to a request of no running job.
   * @throws if the agent does not accept it
   */
  async reply(reply: AgentReply): Promise<void> {
    for (const attemptId of this.#busy) await this.#begun.get(attemptId)?.job.reply(reply);
  }

  /** Returns the attempt that a tool call belongs to, and the context of the call's span. */
  findToolCall(call: ToolCallRef): { readonly attemptId: string; readonly context: SpanContext } | undefined {
    for (const attemptId of this.#busy) {
      const context = this.#begun.get(attemptId)?.job.toolContext(call);
      if (context !== undefined) return { attemptId, context };
    }
    return undefined;
  }

  /** Returns for what commits in a session of the agent are made; nothing of a session in which no job works. */
  commitOriginOf(sessionId: string): CommitOrigin {
    const ids = [...this.#busy];
    const attemptId = ids.find((id) => this.#begun.get(id)?.job.worksIn(sessionId));
    return (attemptId && this.#begun.get(attemptId)?.origin) || {};
  }

  /**
   * Decides whether the agent may make a model call. Resolves once every running job has decided: {@link AgentPrompt.permitModelCall}.
   * An aborted job makes no further calls, even if the agent has not noticed the abort yet.
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

/**
 * Returns whether a job has run commands or tools. Others may change files, too, by an attachment or a plugin for example, but rarely:
 * a conversation does not wait for that.
 */
function usedTools(dispatch: PromptDispatch | WorkflowDispatch, result: unknown): boolean {
  return !("messageId" in dispatch) || (result as TurnResult).summary.toolCalls > 0;
}
