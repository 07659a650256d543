/** Runs one prompt of the agent: tries one model after the other until one has answered, then returns the answer. */

import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import type { Heard } from "@valet/shared/heard";
import { isLimitError } from "@valet/shared/limit-errors";
import { endWith } from "@valet/shared/outcome";
import { CONTENT_MAX_BYTES } from "@valet/shared/protocol/captured-content";
import type { Attachment } from "@valet/shared/protocol/dispatch";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { RunnerIsolation } from "@valet/shared/protocol/sandbox-broker";
import type { TurnBounds, TurnSummary } from "@valet/shared/protocol/turn";
import {
  type EndedBy,
  ERRORS,
  type ErrorType,
  endedBy,
  type Marked,
  type SpanAttributes,
  type ValetSpans,
} from "@valet/shared/spans";
import type { SpanContext, Tracer } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type {
  Agent,
  AgentAsks,
  AgentPrompt,
  AgentReply,
  AgentSession,
  ModelCallRef,
  PromptLimits,
  PromptPart,
  ToolCallRef,
} from "../agent/agent.ts";
import { AGENT_DIED, AGENT_FAILED, AGENT_HUNG, AGENT_UNHEALTHY, mayFailOver, startErrorType } from "../agent/errors.ts";
import type { Ending } from "../agent/facts.ts";
import { SpanEmitter } from "../agent/span-emitter.ts";
import { StepTimes } from "../agent/step-times.ts";
import { TurnTally } from "../agent/turn-tally.ts";
import type { Measured, SandboxUsage } from "../usage/sandbox-usage.ts";
import { AnswerNews } from "./answer-news.ts";
import { attachmentParts } from "./attachments.ts";
import { modelChain } from "./model-chain.ts";
import { ToolUsage } from "./tool-usage.ts";

/** The reasons for which the SessionAgent or the runner may abort work. */
export type AbortReason = Marked<"aborts">;

export interface AgentTaskOptions {
  readonly agent: Agent;
  readonly tracer: Tracer<ValetSpans>;
  readonly captureContent: boolean;
  /** How long one attribute with content may be, in bytes of UTF-8; 16 KiB by default. */
  readonly contentMaxBytes?: number | undefined;
  /** Tried last, after the models of message and session, as `provider/model`. */
  readonly defaultModel: string;
  readonly limits: PromptLimits;
  readonly turnBounds: TurnBounds;
  /** What separates the agent from the rest of the machine; unknown if absent. */
  readonly isolation?: RunnerIsolation | undefined;
  /** Measures the sandbox. */
  readonly usage?: SandboxUsage | undefined;
  /** Where the agent works. */
  readonly workspace: string;
  /** The minimum time between two updates of a part. The first update is sent immediately. */
  readonly partIntervalMs: number;
  onPart(attemptId: string, part: MessagePart): void;
  /** Called on progress of what the span waits for. @param atMs epoch ms */
  onHeard?(spanId: string, atMs: number, what: Heard): void;
  onAsked(asked: AgentAsks): void;
  /** Called on progress, and during expected silence: the agent waits for a person, or for a tool with its own time limit. */
  onWorking(attemptId: string): void;
}

/** A prompt, and the agent's session for it. */
export interface Task {
  readonly attemptId: string;
  readonly content: string;
  readonly attachments: readonly Attachment[];
  /** Tried first. */
  readonly model?: string | undefined;
  readonly models: readonly string[];
  /** Whether a model that the agent does not know ends the task. */
  readonly refuseUnknownModels?: boolean | undefined;
  readonly opencodeSessionId?: string | undefined;
  readonly continuationContext?: string | undefined;
  /** The attributes of its `valet.turn.finalize` span. */
  readonly attributes: SpanAttributes<"valet.turn.finalize">;
}

/** The turn or workflow step of a task: the parent of its spans, and its clock. */
export interface TaskFrame {
  readonly span: { readonly context: SpanContext; readonly isRecording: boolean };
  readonly startMs: number;
  nowMs(): number;
}

export interface TaskResult {
  readonly outcome: Ending["outcome"];
  /** Absent if the outcome is `ok`. */
  readonly errorType?: TaskErrorType;
  readonly cause?: ErrorType;
  readonly causeOf?: string;
  readonly opencodeSessionId?: string;
  readonly parts: MessagePart[];
  readonly summary: TurnSummary;
  /** Absent if there are none. */
  readonly stepDurations?: StepDurations[];
  readonly failovers: number;
}

/** The decision on a model call. */
export interface CallPermit {
  readonly isRefused: boolean;
  /** The call's context, if it is known. */
  readonly context: SpanContext | undefined;
}

/** The timeout for reading the history after a failure, since a hanging agent must not delay the report of the failure. */
const FAILED_READ_MS = 2_000;

/** Returns how aborted work ends. */
export function cutEnding(reason: AbortReason) {
  return { outcome: ERRORS[reason].outcomes[0], errorType: reason } as const;
}

export class AgentTask {
  readonly #options: AgentTaskOptions;
  readonly #task: Task;
  readonly #frame: TaskFrame;
  readonly #tally = new TurnTally();
  readonly #times = new StepTimes();
  readonly #news: AnswerNews;
  readonly #tools: ToolUsage;
  #measured: Measured | undefined;
  /** The last prompt. */
  #prompt: AgentPrompt | undefined;
  /** How the task ends if it was aborted or reached a limit. */
  #cut: Ending | undefined;
  #failovers = 0;
  #attachedParts: PromptPart[] | undefined;
  #model: string | undefined;
  /** The sessions that wait for a person's reply, by the request's id. */
  readonly #asked = new Map<string, AgentSession>();

  constructor(options: AgentTaskOptions, task: Task, frame: TaskFrame) {
    this.#options = options;
    this.#task = task;
    this.#frame = frame;
    this.#tools = new ToolUsage(options.usage);
    this.#news = new AnswerNews(options.partIntervalMs, (part) => options.onPart(task.attemptId, part));
  }

  /** Runs the task. Never rejects. */
  async run(): Promise<TaskResult> {
    const { agent } = this.#options;
    const { span } = this.#frame;
    let ending: Ending;
    let session: AgentSession | undefined;
    const overtime = this.#watchTime();
    try {
      const opening = agent.open({ parent: span, sessionId: this.#task.opencodeSessionId });
      // While the agent's request is on its way: reading the figures takes about as long.
      this.#measured = this.#options.usage?.begin();
      session = await opening;
      ending = await this.#tryModels(session);
    } catch (error) {
      // Only opening the session can throw.
      const errorType = this.#options.usage?.recentLimit() ?? startErrorType(error);
      ending = this.#cut ?? { outcome: "error", errorType };
    }
    overtime.stop();
    this.#news.flush();
    const { errorType } = ending;
    const hasDied = errorType === AGENT_DIED || errorType === AGENT_HUNG || isLimitError(errorType);
    // The next prompt needs the agent; this result does not wait for the restart.
    if (hasDied) agent.restart(span.context);
    const parts = await this.#finalize(hasDied, ending);
    return this.#result(ending, session?.id, parts);
  }

  /** Returns the figures so far. */
  progress(): TurnSummary {
    return this.#tally.summary(this.#frame.startMs, this.#frame.nowMs(), this.#model);
  }

  /** Returns the context of a tool call's span, which may not have begun yet; `undefined` if it is not a call of this task. */
  toolContext(call: ToolCallRef): SpanContext | undefined {
    return this.#contextOf(this.#prompt?.toolSpan(call, Math.floor(this.#frame.nowMs())));
  }

  /** Whether this task works in a session of the agent: {@link AgentPrompt.worksIn}. */
  worksIn(sessionId: string): boolean {
    return this.#prompt?.worksIn(sessionId) === true;
  }

  /** Decides whether the agent may make a model call, of this task or another: {@link AgentPrompt.permitModelCall}. */
  async permitModelCall(call: ModelCallRef): Promise<CallPermit> {
    const { isRefused = false, spanId } = (await this.#prompt?.permitModelCall(call)) ?? {};
    return { isRefused, context: this.#contextOf(spanId) };
  }

  #contextOf(spanId: string | undefined): SpanContext | undefined {
    const { context, isRecording } = this.#frame.span;
    if (spanId === undefined) return undefined;
    return isRecording ? { ...context, spanId } : context;
  }

  /** Aborts the task. Resolves once the agent is idle. The first reason counts. */
  async abort(reason: AbortReason): Promise<void> {
    await this.#cutShort(cutEnding(reason));
  }

  async #cutShort(ending: Ending): Promise<void> {
    this.#cut ??= ending;
    await this.#prompt?.abort(this.#cut);
  }

  /** Aborts the task when it has run for as long as a turn may. Waits for a person do not count. */
  #watchTime(): { stop(): void } {
    const { maxTurnMs } = this.#options.turnBounds;
    const beganMs = this.#frame.nowMs();
    let timer: ReturnType<typeof setTimeout>;
    const check = () => {
      const leftMs = maxTurnMs - (this.#frame.nowMs() - beganMs - this.progress().permissionWaitMs);
      if (this.#prompt?.isWaiting) timer = setTimeout(check, Math.min(WAITING_CHECK_MS, maxTurnMs));
      else if (leftMs > 0) timer = setTimeout(check, leftMs);
      else void this.#cutShort({ outcome: "error", errorType: "turn_time_limit" });
    };
    timer = setTimeout(check, maxTurnMs);
    return { stop: () => clearTimeout(timer) };
  }

  /** Aborts the task before it exceeds the limit on model calls. */
  #watchCalls(): void {
    const { maxModelCalls } = this.#options.turnBounds;
    const calls = this.#tally.requestsBegun + (this.#tally.isAnotherCallDue ? 1 : 0);
    if (calls > maxModelCalls) void this.#cutShort({ outcome: "error", errorType: "model_call_limit" });
  }

  /** Passes on a person's reply, if it is to a request of this task. */
  async reply(reply: AgentReply): Promise<void> {
    const id = reply.type === "permission-reply" ? reply.permissionId : reply.questionId;
    await this.#asked.get(id)?.reply(reply);
  }

  async #tryModels(session: AgentSession): Promise<Ending> {
    let follows: SpanContext | undefined;
    let failed: Ending | undefined;
    const chain = modelChain({ ...this.#task, defaultModel: this.#options.defaultModel });
    for (const [index, model] of chain.entries()) {
      if (this.#cut !== undefined) return this.#cut;
      if (failed !== undefined) this.#failovers++;
      const { modelCalls } = this.progress();
      const prompt = this.#startPrompt(session, model, index + 1, follows);
      const ending = await prompt.run();
      this.#model = model;
      if (!mayFailOver(ending)) return ending;
      // Without a model call, it was the agent that refused the model, not the provider.
      const isUnknown = ending.errorType === "provider_not_found" && this.progress().modelCalls === modelCalls;
      if (isUnknown && this.#task.refuseUnknownModels === true) {
        return { outcome: "error", errorType: "model_unknown", causeOf: model };
      }
      failed = ending;
      follows = prompt.context;
    }
    const cause = withoutUndefined({ cause: failed?.errorType, causeOf: this.#model });
    return { outcome: "error", errorType: "model_chain_exhausted", ...cause };
  }

  /**
   * @param place the model's position in the preference list, from 1
   * @param follows the context of the failed prompt with the previous model
   */
  #startPrompt(session: AgentSession, model: string, place: number, follows: SpanContext | undefined): AgentPrompt {
    const { tracer, limits, turnBounds, onHeard, onWorking } = this.#options;
    const { captureContent, contentMaxBytes = CONTENT_MAX_BYTES } = this.#options;
    const { attemptId } = this.#task;
    const emitter = new SpanEmitter({
      tracer,
      parent: this.#frame.span,
      contentMaxBytes: captureContent ? contentMaxBytes : undefined,
      onHeard: (spanId, atMs, what) => onHeard?.(spanId, atMs, what),
    });
    const prompt = session.prompt({
      attemptId,
      model,
      place,
      limits,
      parent: this.#frame.span,
      parts: promptParts(this.#task, this.#attached(), session.isNew && place === 1),
      pollingTools: new Set(turnBounds.pollingTools),
      nowMs: () => this.#frame.nowMs(),
      onFacts: (told) => {
        const facts = this.#tools.complete(told);
        this.#tally.add(facts);
        this.#times.add(facts);
        emitter.emit(facts, follows);
        this.#watchCalls();
      },
      onPart: (partId) => this.#news.changed(partId, (id) => prompt.part(id)),
      onAsked: (asked) => this.#onAsked(asked, session),
      onWorking: () => onWorking(attemptId),
    });
    this.#prompt = prompt;
    return prompt;
  }

  /** Returns the parts of the task's attachments. Writes files into the workspace once, however many models are tried. */
  #attached(): PromptPart[] {
    const { attemptId, attachments } = this.#task;
    this.#attachedParts ??= attachmentParts(attachments, { workspace: this.#options.workspace, attemptId });
    return this.#attachedParts;
  }

  #onAsked(asked: AgentAsks, session: AgentSession): void {
    const id = asked.type === "permission-asked" ? asked.permissionId : asked.questionId;
    if (this.#asked.has(id)) return;
    this.#asked.set(id, session);
    this.#options.onAsked(asked);
  }

  /**
   * Returns the answer. If the prompt succeeded, and the history can have no other answer, it is what the events told, and nobody waits for
   * another request. Otherwise it is read from the agent's history; if the agent does not answer, it is what the events told.
   * @param hasDied whether the agent's process has ended
   */
  async #finalize(hasDied: boolean, { outcome }: Ending): Promise<MessagePart[]> {
    const span = this.#options.tracer.startSpan("valet.turn.finalize", {
      parent: this.#frame.span,
      startTime: this.#frame.nowMs(),
      attributes: this.#task.attributes,
    });
    const prompt = this.#prompt;
    let parts = prompt?.seenParts() ?? [];
    let errorType: typeof AGENT_UNHEALTHY | undefined;
    try {
      if (prompt !== undefined && !hasDied && (outcome !== "ok" || prompt.historyMayDiffer)) {
        parts = await prompt.readParts(span.context, outcome === "ok" ? undefined : FAILED_READ_MS);
      }
    } catch {
      errorType = AGENT_UNHEALTHY;
    }
    const length = parts.reduce((total, part) => total + (part.type === "text" ? part.text.length : 0), 0);
    span.setAttribute("valet.turn.response_length", length);
    endWith(span, errorType === undefined ? "ok" : "error", errorType, this.#frame.nowMs());
    return parts;
  }

  #result(ending: Ending, opencodeSessionId: string | undefined, parts: MessagePart[]): TaskResult {
    const { outcome, cause, causeOf } = ending;
    const { durations } = this.#times;
    return {
      outcome,
      ...withoutUndefined({ errorType: taskErrorType(ending), cause, causeOf, opencodeSessionId }),
      parts,
      summary: { ...this.progress(), ...withoutUndefined({ usage: this.#measured?.end().usage }) },
      ...(durations.length > 0 && { stepDurations: [...durations] }),
      failovers: this.#failovers,
    };
  }
}

/** The interval at which an overdue task checks whether it still waits for a person. */
const WAITING_CHECK_MS = 60_000;

/** The error types with which both a turn and a workflow step may end. */
type TaskErrorType = Extract<EndedBy<"turn">, EndedBy<"step">>;
const TASK_ERRORS = endedBy("turn").filter((type) => (endedBy("step") as string[]).includes(type)) as TaskErrorType[];

function taskErrorType({ outcome, errorType }: Ending): TaskErrorType | undefined {
  if (outcome === "ok") return undefined;
  return TASK_ERRORS.find((type) => type === errorType) ?? AGENT_FAILED;
}

/** @param isFirst whether the agent's session lacks the earlier conversation as context */
function promptParts({ content, continuationContext }: Task, attached: PromptPart[], isFirst: boolean): PromptPart[] {
  return [
    ...(isFirst && continuationContext !== undefined
      ? [{ type: "text" as const, text: continuationContext, synthetic: true }]
      : []),
    { type: "text", text: content },
    ...attached,
  ];
}
