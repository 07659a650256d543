/** One thing asked of the agent: one model after the other until one has answered, then the answer is read. */

import { endWith } from "@valet/shared/outcome";
import type { ModelCallRef } from "@valet/shared/protocol/child-sessions";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import {
  type Attachment,
  type FromRunnerOf,
  OWN_PROVIDER,
  type ToRunnerOf,
  type TurnBounds,
  type TurnSummary,
  withProvider,
} from "@valet/shared/protocol/runner-link";
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
import type { Ending } from "../agent/facts.ts";
import { SpanEmitter } from "../agent/span-emitter.ts";
import { TurnTally } from "../agent/turn-tally.ts";
import { AgentPrompt, mayFailOver, type PromptLimits } from "../opencode/agent-prompt.ts";
import type { ModelFacts } from "../opencode/agent-run.ts";
import { AnswerParts, partsOfHistory } from "../opencode/answer-parts.ts";
import { askedFrame } from "../opencode/asked-frame.ts";
import type { OpenCodeClient, PromptPart } from "../opencode/client.ts";
import type { AgentEvent } from "../opencode/events.ts";
import { chatSpanId, newMessageId, toolSpanId } from "../opencode/ids.ts";
import type { AgentAccess } from "../opencode/opencode.ts";
import { TurnReducer } from "../opencode/turn-reducer.ts";
import { splitModel } from "../opencode/usage.ts";
import { attachmentParts } from "./attachments.ts";

/** Why work may be cut short from outside. */
export type AbortReason = Marked<"aborts">;

/** What the agent asks of a person: leave, or an answer. */
export type AgentAsks = FromRunnerOf<"permission-asked" | "question-asked">;
/** What the person says to it. */
export type AgentReply = ToRunnerOf<"permission-reply" | "question-reply">;

/** A tool call, by OpenCode's own ids. */
export interface ToolCallRef {
  readonly opencodeSessionId: string;
  readonly messageId: string;
  readonly callId: string;
}

export interface AgentTaskOptions {
  readonly agent: AgentAccess;
  readonly tracer: Tracer<ValetSpans>;
  readonly captureContent: boolean;
  /** Tried when neither message nor session asks for a model, and last when they do, as `provider/model`. */
  readonly defaultModel: string;
  readonly limits: PromptLimits;
  readonly turnBounds: TurnBounds;
  /** Where the agent works. */
  readonly workspace: string;
  /** At most one update of a part in this time. */
  readonly partIntervalMs: number;
  /** Message ids made for prompts of this runner, whosever. */
  readonly messageIds: Set<string>;
  /** What this runner knows of model calls beside their events. */
  readonly model: ModelFacts;
  onPart(attemptId: string, part: MessagePart): void;
  /** Something came from what the span waits for. @param atMs epoch ms */
  onHeard?(spanId: string, atMs: number): void;
  onAsked(asked: AgentAsks): void;
  /** The agent is silent for long, and that is as it should be: it waits for a person, or for a tool with a limit of its own. */
  onQuiet(attemptId: string): void;
}

/** What is asked, and in which of the agent's sessions. */
export interface Task {
  readonly attemptId: string;
  readonly content: string;
  readonly attachments: readonly Attachment[];
  /** Tried first. */
  readonly model?: string | undefined;
  readonly models: readonly string[];
  /** Whether a model that OpenCode does not know ends it. */
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

/** How long the history may take once work has failed: an OpenCode that hangs must not keep that from being told. */
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
  readonly #changedParts = new Set<string>();
  #partTimer: ReturnType<typeof setTimeout> | undefined;
  #prompt: AgentPrompt | undefined;
  #reducer: TurnReducer | undefined;
  #answer: AnswerParts | undefined;
  /** Why it is cut short, by whoever asked or by a bound. */
  #cut: Ending | undefined;
  #failovers = 0;
  #attachedParts: PromptPart[] | undefined;
  #model: string | undefined;
  /** Who waits for the answers to this task's requests, by the request's id. */
  readonly #asked = new Map<string, OpenCodeClient>();

  constructor(options: AgentTaskOptions, task: Task, frame: TaskFrame) {
    this.#options = options;
    this.#task = task;
    this.#frame = frame;
  }

  /** Never rejects. */
  async run(): Promise<TaskResult> {
    const { span } = this.#frame;
    let ending: Ending;
    let session: { id: string; client: OpenCodeClient } | undefined;
    let isOwn: (userMessageId: string) => boolean = () => false;
    const overtime = this.#watchTime();
    try {
      const client = await this.#options.agent.ready(span);
      const { id, isNew } = await this.#openSession(client);
      session = { id, client };
      const { ending: last, userMessageIds } = await this.#tryModels(client, id, isNew);
      ending = last;
      isOwn = (userMessageId) => userMessageIds.has(userMessageId);
    } catch {
      // Nothing but the two calls above fails: OpenCode is not there, or does not answer.
      ending = this.#cut ?? { outcome: "error", errorType: "opencode_unhealthy" };
    }
    overtime.stop();
    clearTimeout(this.#partTimer);
    this.#tellParts();
    const hasDied = ending.errorType === "opencode_died";
    // What is asked next needs it; who asked for this is told at once.
    if (hasDied) this.#options.agent.restart(span.context);
    const parts = await this.#finalize(
      hasDied ? undefined : session,
      isOwn,
      ending.outcome === "ok" ? undefined : FAILED_READ_MS,
    );
    return this.#result(ending, session?.id, parts);
  }

  /** What it has come to so far. */
  progress(): TurnSummary {
    return this.#tally.summary(this.#frame.startMs, this.#frame.nowMs(), this.#model);
  }

  /** The span of a tool call of its agent or one of its sub-agents, told or not; `undefined` if it is not one of those. */
  toolContext({ opencodeSessionId, messageId, callId }: ToolCallRef): SpanContext | undefined {
    if (!this.#reducer?.has(opencodeSessionId)) return undefined;
    const { context, isRecording } = this.#frame.span;
    if (!isRecording) return context;
    const spanId = toolSpanId(this.#task.attemptId, opencodeSessionId, messageId, callId);
    // OpenCode says that a tool runs a few milliseconds after it has begun to; what it asks for must not begin before it.
    this.#reducer.toolAsked(spanId, Math.floor(this.#frame.nowMs()));
    return { ...context, spanId };
  }

  /** The context of a model call of its agent or one of its sub-agents, told or not; `undefined` if it is not one of those. */
  modelContext({ opencodeSessionId, messageId }: ModelCallRef): SpanContext | undefined {
    if (!this.#reducer?.knows(opencodeSessionId)) return undefined;
    const { context, isRecording } = this.#frame.span;
    if (!isRecording) return context;
    return { ...context, spanId: chatSpanId(this.#task.attemptId, opencodeSessionId, messageId) };
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
      if (this.#reducer?.isWaiting) timer = setTimeout(check, WAITING_CHECK_MS);
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
    if (reply.type === "permission-reply") {
      await this.#asked.get(reply.permissionId)?.replyPermission(reply.permissionId, reply.reply);
    } else {
      await this.#asked.get(reply.questionId)?.replyQuestion(reply.questionId, reply.answers);
    }
  }

  /** The channel's OpenCode session, or a new one where there is none, or none any more. */
  async #openSession(client: OpenCodeClient): Promise<{ id: string; isNew: boolean }> {
    const { context } = this.#frame.span;
    const known = this.#task.opencodeSessionId;
    if (known !== undefined && (await client.hasSession(known, context))) return { id: known, isNew: false };
    return { id: await client.createSession(context), isNew: true };
  }

  async #tryModels(client: OpenCodeClient, sessionId: string, isNewSession: boolean) {
    const { model, models, refuseUnknownModels } = this.#task;
    const named = [model, ...models, this.#options.defaultModel].filter((ref) => ref !== undefined);
    // The same model may be named with its provider and without.
    const chain = named.filter(
      (ref, place) => named.findIndex((other) => withProvider(other) === withProvider(ref)) === place,
    );
    let follows: SpanContext | undefined;
    let failed: Ending | undefined;
    let userMessageIds: ReadonlySet<string> = new Set();
    for (const [index, ref] of chain.entries()) {
      if (this.#cut !== undefined) return { ending: this.#cut, userMessageIds };
      if (failed !== undefined) this.#failovers++;
      const attempt = this.#startPrompt(
        client,
        sessionId,
        ref,
        index + 1,
        follows,
        isNewSession && failed === undefined,
      );
      const { modelCalls } = this.progress();
      const ending = await attempt.prompt.run();
      userMessageIds = attempt.reducer.userMessageIds;
      this.#model = ref;
      if (!mayFailOver(ending)) return { ending, userMessageIds };
      // A provider refuses a call; without one it is OpenCode that knows no such model.
      const isUnknown = ending.errorType === "provider_bad_request" && this.progress().modelCalls === modelCalls;
      if (isUnknown && refuseUnknownModels === true) {
        return {
          ending: { outcome: "error", errorType: "model_unknown", causeOf: ref } satisfies Ending,
          userMessageIds,
        };
      }
      failed = ending;
      follows = attempt.context;
    }
    const ending: Ending = {
      ...{ outcome: "error", errorType: "model_chain_exhausted" },
      ...(failed?.errorType !== undefined && { cause: failed.errorType }),
      ...(this.#model !== undefined && { causeOf: this.#model }),
    };
    return { ending, userMessageIds };
  }

  /** @param place the model's in the list of preference, from 1 */
  #startPrompt(
    client: OpenCodeClient,
    sessionId: string,
    ref: string,
    place: number,
    follows: SpanContext | undefined,
    isFirst: boolean,
  ) {
    const { agent, tracer, captureContent, limits, messageIds, turnBounds, model: facts } = this.#options;
    // What is no model's name even so, OpenCode refuses.
    const model = splitModel(withProvider(ref)) ?? { providerID: OWN_PROVIDER, modelID: ref };
    const messageID = newMessageId(this.#frame.nowMs());
    messageIds.add(messageID);
    const reducer = new TurnReducer({
      attemptId: this.#task.attemptId,
      sessionId,
      userMessageId: messageID,
      startMs: Math.floor(this.#frame.nowMs()),
      attributes: {
        "valet.failover.model": `${model.providerID}/${model.modelID}`,
        "valet.failover.attempt": place,
      },
      model: facts,
      pollingTools: new Set(turnBounds.pollingTools),
      isOthers: (id) => id !== messageID && messageIds.has(id),
    });
    const onHeard = (spanId: string, atMs: number) => this.#options.onHeard?.(spanId, atMs);
    const emitter = new SpanEmitter({ tracer, parent: this.#frame.span, captureContent, onHeard });
    const answer = new AnswerParts(sessionId, (id) => reducer.userMessageIds.has(id));
    this.#answer = answer;
    const { span } = this.#frame;
    const context = span.isRecording ? { ...span.context, spanId: reducer.spanId } : span.context;
    const prompt = new AgentPrompt({
      ...{ agent, client, reducer, sessionId, context, limits },
      prompt: { messageID, model, parts: promptParts(this.#task, this.#attached(), isFirst) },
      onFacts: (facts) => {
        this.#tally.add(facts);
        emitter.emit(facts, follows);
        this.#watchCalls();
      },
      onEvent: (event) => this.#onEvent(event, answer, client),
      onQuiet: () => this.#options.onQuiet(this.#task.attemptId),
    });
    this.#prompt = prompt;
    this.#reducer = reducer;
    return { prompt, reducer, context };
  }

  /** What the task brings along; files that go into the workspace are written once, whatever models are tried. */
  #attached(): PromptPart[] {
    const { attemptId, attachments } = this.#task;
    this.#attachedParts ??= attachmentParts(attachments, { workspace: this.#options.workspace, attemptId });
    return this.#attachedParts;
  }

  #onEvent(event: AgentEvent, answer: AnswerParts, client: OpenCodeClient): void {
    if (event.type === "permission.asked" || event.type === "question.asked") {
      const { id } = event.properties;
      if (this.#asked.has(id)) return;
      this.#asked.set(id, client);
      this.#options.onAsked(askedFrame(event, this.#task.attemptId));
    }
    const changed = answer.apply(event);
    if (changed === undefined) return;
    this.#changedParts.add(changed);
    this.#partTimer ??= setTimeout(() => this.#tellParts(), this.#options.partIntervalMs);
  }

  #tellParts(): void {
    this.#partTimer = undefined;
    for (const id of this.#changedParts) {
      const part = this.#answer?.get(id);
      if (part !== undefined) this.#options.onPart(this.#task.attemptId, part);
    }
    this.#changedParts.clear();
  }

  /**
   * The answer as OpenCode's history has it; as it was seen to come, where OpenCode does not answer.
   * @param timeoutMs how long OpenCode may take; as long as for any call unless given
   */
  async #finalize(
    session: { id: string; client: OpenCodeClient } | undefined,
    isOwn: (userMessageId: string) => boolean,
    timeoutMs: number | undefined,
  ): Promise<MessagePart[]> {
    const seen = this.#answer?.all() ?? [];
    const span = this.#options.tracer.startSpan("valet.turn.finalize", {
      parent: this.#frame.span,
      startTime: this.#frame.nowMs(),
      attributes: this.#task.attributes,
    });
    let parts = seen;
    let errorType: "opencode_unhealthy" | undefined;
    if (session !== undefined && this.#answer !== undefined) {
      try {
        parts = partsOfHistory(await session.client.messages(session.id, span.context, timeoutMs), isOwn);
      } catch {
        errorType = "opencode_unhealthy";
      }
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
  return TASK_ERRORS.find((type) => type === errorType) ?? "opencode_error";
}

/** @param isFirst whether the OpenCode session knows nothing of what went before */
function promptParts({ content, continuationContext }: Task, attached: PromptPart[], isFirst: boolean): PromptPart[] {
  return [
    ...(isFirst && continuationContext !== undefined
      ? [{ type: "text" as const, text: continuationContext, synthetic: true }]
      : []),
    { type: "text", text: content },
    ...attached,
  ];
}
