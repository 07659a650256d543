/** One thing asked of the agent: one model after the other until one has answered, then the answer is read. */
import { endWith } from "@valet/shared/outcome";
import type { Attachment } from "@valet/shared/protocol/dispatch";
import type { MessagePart } from "@valet/shared/protocol/message-part";
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
import { AGENT_DIED, AGENT_FAILED, AGENT_HUNG, AGENT_UNHEALTHY, mayFailOver } from "../agent/errors.ts";
import type { Ending } from "../agent/facts.ts";
import { SpanEmitter } from "../agent/span-emitter.ts";
import { TurnTally } from "../agent/turn-tally.ts";
import { AnswerNews } from "./answer-news.ts";
import { attachmentParts } from "./attachments.ts";
import { modelChain } from "./model-chain.ts";

/** Why work may be cut short from outside. */
export type AbortReason = Marked<"aborts">;

export interface AgentTaskOptions {
  readonly agent: Agent;
  readonly tracer: Tracer<ValetSpans>;
  readonly captureContent: boolean;
  /** Tried when neither message nor session asks for a model, and last when they do, as `provider/model`. */
  readonly defaultModel: string;
  readonly limits: PromptLimits;
  readonly turnBounds: TurnBounds;
  /** Where the agent works. */
  readonly workspace: string;
  /** The shortest time between two updates of a part. The first is told at once. */
  readonly partIntervalMs: number;
  onPart(attemptId: string, part: MessagePart): void;
  /** Something came from what the span waits for. @param atMs epoch ms */
  onHeard?(spanId: string, atMs: number): void;
  onAsked(asked: AgentAsks): void;
  /** The agent is silent for long, and that is as it should be: it waits for a person, or for a tool with a limit of its own. */
  onWorking(attemptId: string): void;
}

/** What is asked, and in which of the agent's sessions. */
export interface Task {
  readonly attemptId: string;
  readonly content: string;
  readonly attachments: readonly Attachment[];
  /** Tried first. */
  readonly model?: string | undefined;
  readonly models: readonly string[];
  /** Whether a model that the agent does not know ends it. */
  readonly refuseUnknownModels?: boolean | undefined;
  readonly opencodeSessionId?: string | undefined;
  readonly continuationContext?: string | undefined;
  /** What the span of its finalizing carries. */
  readonly attributes: SpanAttributes<"valet.turn.finalize">;
}

/** What it is part of: its spans hang below that, and its times are read from that clock. */
export interface TaskFrame {
  readonly span: { readonly context: SpanContext; readonly isRecording: boolean };
  readonly startMs: number;
  nowMs(): number;
}

export interface TaskResult {
  readonly outcome: Ending["outcome"];
  /** Absent where the outcome is `ok`. */
  readonly errorType?: TaskErrorType;
  readonly cause?: ErrorType;
  readonly causeOf?: string;
  readonly opencodeSessionId?: string;
  readonly parts: MessagePart[];
  readonly summary: TurnSummary;
  readonly failovers: number;
}

/** What becomes of a model call. */
export interface CallPermit {
  readonly isRefused: boolean;
  /** The call's context, if it is known. */
  readonly context: SpanContext | undefined;
}

/** How long the history may take once work has failed: an agent that hangs must not keep that from being told. */
const FAILED_READ_MS = 2_000;

/** How work ends that is cut short. */
export function cutEnding(reason: AbortReason) {
  return { outcome: ERRORS[reason].outcomes[0], errorType: reason } as const;
}

export class AgentTask {
  readonly #options: AgentTaskOptions;
  readonly #task: Task;
  readonly #frame: TaskFrame;
  readonly #tally = new TurnTally();
  readonly #news: AnswerNews;
  /** The prompt that was sent last. */
  #prompt: AgentPrompt | undefined;
  /** Why it is cut short, by whoever asked or by a bound. */
  #cut: Ending | undefined;
  #failovers = 0;
  #attachedParts: PromptPart[] | undefined;
  #model: string | undefined;
  /** Who waits for the answers to this task's requests, by the request's id. */
  readonly #asked = new Map<string, AgentSession>();

  constructor(options: AgentTaskOptions, task: Task, frame: TaskFrame) {
    this.#options = options;
    this.#task = task;
    this.#frame = frame;
    this.#news = new AnswerNews(options.partIntervalMs, (part) => options.onPart(task.attemptId, part));
  }

  /** Never rejects. */
  async run(): Promise<TaskResult> {
    const { agent } = this.#options;
    const { span } = this.#frame;
    let ending: Ending;
    let session: AgentSession | undefined;
    const overtime = this.#watchTime();
    try {
      session = await agent.open({ parent: span, sessionId: this.#task.opencodeSessionId });
      ending = await this.#tryModels(session);
    } catch {
      // Nothing but the opening fails.
      ending = this.#cut ?? { outcome: "error", errorType: AGENT_UNHEALTHY };
    }
    overtime.stop();
    this.#news.flush();
    const hasDied = ending.errorType === AGENT_DIED || ending.errorType === AGENT_HUNG;
    // What is asked next needs it; who asked for this is told at once.
    if (hasDied) agent.restart(span.context);
    const parts = await this.#finalize(!hasDied, ending.outcome === "ok" ? undefined : FAILED_READ_MS);
    return this.#result(ending, session?.id, parts);
  }

  /** What it has come to so far. */
  progress(): TurnSummary {
    return this.#tally.summary(this.#frame.startMs, this.#frame.nowMs(), this.#model);
  }

  /** The span of a tool call of its agent or one of its sub-agents, told or not; `undefined` if it is not one of those. */
  toolContext(call: ToolCallRef): SpanContext | undefined {
    return this.#contextOf(this.#prompt?.toolSpan(call, Math.floor(this.#frame.nowMs())));
  }

  /** Decides on a model call that the agent is about to make, of this task or another: {@link AgentPrompt.permitModelCall}. */
  async permitModelCall(call: ModelCallRef): Promise<CallPermit> {
    const { isRefused = false, spanId } = (await this.#prompt?.permitModelCall(call)) ?? {};
    return { isRefused, context: this.#contextOf(spanId) };
  }

  #contextOf(spanId: string | undefined): SpanContext | undefined {
    const { context, isRecording } = this.#frame.span;
    if (spanId === undefined) return undefined;
    return isRecording ? { ...context, spanId } : context;
  }

  /** Cuts it short. Its promise settles once the agent has come to rest. The first reason counts. */
  async abort(reason: AbortReason): Promise<void> {
    await this.#cutShort(cutEnding(reason));
  }

  async #cutShort(ending: Ending): Promise<void> {
    this.#cut ??= ending;
    await this.#prompt?.abort(this.#cut);
  }

  /** Cuts it short when it has taken as long as it may. While it waits for a person it is not cut. */
  #watchTime(): { stop(): void } {
    let timer: ReturnType<typeof setTimeout>;
    const check = () => {
      if (this.#prompt?.isWaiting) timer = setTimeout(check, WAITING_CHECK_MS);
      else void this.#cutShort({ outcome: "error", errorType: "turn_time_limit" });
    };
    timer = setTimeout(check, this.#options.turnBounds.maxTurnMs);
    return { stop: () => clearTimeout(timer) };
  }

  /** Cuts it short when it has made as many model calls as it may, unless the last of them has answered. */
  #watchCalls(): void {
    const { maxModelCalls } = this.#options.turnBounds;
    const calls = this.#tally.requestsBegun + (this.#tally.isAnotherCallDue ? 1 : 0);
    if (calls > maxModelCalls) void this.#cutShort({ outcome: "error", errorType: "model_call_limit" });
  }

  /** Passes on a person's answer, if it is this task that asked. */
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
      // A provider refuses a call; without one it is the agent that knows no such model.
      const isUnknown = ending.errorType === "provider_bad_request" && this.progress().modelCalls === modelCalls;
      if (isUnknown && this.#task.refuseUnknownModels === true) {
        return { outcome: "error", errorType: "model_unknown", causeOf: model };
      }
      failed = ending;
      follows = prompt.context;
    }
    return {
      outcome: "error",
      errorType: "model_chain_exhausted",
      ...(failed?.errorType !== undefined && { cause: failed.errorType }),
      ...(this.#model !== undefined && { causeOf: this.#model }),
    };
  }

  /**
   * @param place the model's in the list of preference, from 1
   * @param follows the context of the prompt for the model before, which failed
   */
  #startPrompt(session: AgentSession, model: string, place: number, follows: SpanContext | undefined): AgentPrompt {
    const { tracer, captureContent, limits, turnBounds, onHeard, onWorking } = this.#options;
    const { attemptId } = this.#task;
    const emitter = new SpanEmitter({
      tracer,
      parent: this.#frame.span,
      captureContent,
      onHeard: (spanId, atMs) => onHeard?.(spanId, atMs),
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
      onFacts: (facts) => {
        this.#tally.add(facts);
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

  /** What the task brings along; files that go into the workspace are written once, whatever models are tried. */
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
   * The answer as the agent's history has it; as it was seen to come, where the agent does not answer.
   * @param isThere whether the agent can be asked
   * @param timeoutMs how long the agent may take; as long as for any call unless given
   */
  async #finalize(isThere: boolean, timeoutMs: number | undefined): Promise<MessagePart[]> {
    const span = this.#options.tracer.startSpan("valet.turn.finalize", {
      parent: this.#frame.span,
      startTime: this.#frame.nowMs(),
      attributes: this.#task.attributes,
    });
    let parts = this.#prompt?.seenParts() ?? [];
    let errorType: typeof AGENT_UNHEALTHY | undefined;
    try {
      if (isThere) parts = (await this.#prompt?.readParts(span.context, timeoutMs)) ?? parts;
    } catch {
      errorType = AGENT_UNHEALTHY;
    }
    const length = parts.reduce((total, part) => total + (part.type === "text" ? part.text.length : 0), 0);
    span.setAttribute("valet.turn.response_length", length);
    endWith(span, errorType === undefined ? "ok" : "error", errorType, this.#frame.nowMs());
    return parts;
  }

  #result(ending: Ending, opencodeSessionId: string | undefined, parts: MessagePart[]): TaskResult {
    const errorType = taskErrorType(ending);
    return {
      outcome: ending.outcome,
      ...(errorType === undefined ? {} : { errorType }),
      ...(ending.cause === undefined ? {} : { cause: ending.cause }),
      ...(ending.causeOf === undefined ? {} : { causeOf: ending.causeOf }),
      ...(opencodeSessionId === undefined ? {} : { opencodeSessionId }),
      parts,
      summary: this.progress(),
      failovers: this.#failovers,
    };
  }
}

/** How often it is looked whether a person has answered by whom work is waited for beyond its time. */
const WAITING_CHECK_MS = 60_000;

/** What a turn may end with, and a step of a workflow likewise, of those that the agent's work in it may end with. */
type TaskErrorType = Extract<EndedBy<"turn">, EndedBy<"step">>;
const TASK_ERRORS = endedBy("turn").filter((type) => (endedBy("step") as string[]).includes(type)) as TaskErrorType[];

function taskErrorType({ outcome, errorType }: Ending): TaskErrorType | undefined {
  if (outcome === "ok") return undefined;
  return TASK_ERRORS.find((type) => type === errorType) ?? AGENT_FAILED;
}

/** @param isFirst whether the agent's session knows nothing of what went before */
function promptParts({ content, continuationContext }: Task, attached: PromptPart[], isFirst: boolean): PromptPart[] {
  return [
    ...(isFirst && continuationContext !== undefined
      ? [{ type: "text" as const, text: continuationContext, synthetic: true }]
      : []),
    { type: "text", text: content },
    ...attached,
  ];
}
