/** The runner's work on one dispatch: one model after the other until one has answered, then the report. */
import type {
  FromRunnerOf,
  MessagePart,
  PromptDispatch,
  ToRunnerOf,
  TurnSummary,
} from "@valet/shared/protocol/runner-link";
import { type ErrorType, QUEUE_MODES, QUEUE_REASONS, type ValetSpans } from "@valet/shared/spans";
import {
  type AnchoredClock,
  createAnchoredClock,
  extractFromHeaders,
  type OpenSpan,
  type SpanContext,
  SpanKind,
  serialiseSpan,
  type Tracer,
} from "@valet/shared/tracing";
import { AgentPrompt, mayFailOver, type PromptLimits } from "./opencode/agent-prompt.ts";
import { AnswerParts, partsOfHistory } from "./opencode/answer-parts.ts";
import { askedFrame } from "./opencode/asked-frame.ts";
import type { OpenCodeClient, PromptPart } from "./opencode/client.ts";
import { OWN_PROVIDER } from "./opencode/config.ts";
import { SpanEmitter } from "./opencode/emit.ts";
import type { AgentEvent } from "./opencode/events.ts";
import type { Ending } from "./opencode/facts.ts";
import { newMessageId } from "./opencode/ids.ts";
import type { AgentAccess } from "./opencode/opencode.ts";
import { TurnReducer } from "./opencode/turn-reducer.ts";
import { TurnTally } from "./opencode/turn-tally.ts";
import { providerAttributes, splitModel } from "./opencode/usage.ts";
import { endWith, type SpanOf } from "./tracing.ts";

/** Why a turn may be cut short from outside. */
export type AbortReason = Extract<
  ErrorType,
  "user_abort" | "steered" | "stuck_turn" | "session_hibernated" | "session_terminated" | "runner_shutdown"
>;

/** What becomes of a turn: the `turn-ended` frame without its envelope. */
export interface TurnResult {
  readonly outcome: "ok" | "error" | "aborted";
  /** Absent where the outcome is `ok`. */
  readonly errorType?: ErrorType;
  readonly opencodeSessionId?: string;
  readonly parts: MessagePart[];
  readonly summary: TurnSummary;
}

/** What the agent asks of a person: leave, or an answer. */
export type AgentAsks = FromRunnerOf<"permission-asked" | "question-asked">;
/** What the person says to it. */
export type AgentReply = ToRunnerOf<"permission-reply" | "question-reply">;

export interface TurnOptions {
  readonly agent: AgentAccess;
  readonly tracer: Tracer<ValetSpans>;
  readonly captureContent: boolean;
  /** Tried when neither message nor session asks for a model, and last when they do, as `provider/model`. */
  readonly defaultModel: string;
  readonly limits: PromptLimits;
  /** At most one update of a part in this time. */
  readonly partIntervalMs: number;
  /** Message ids made for prompts of this runner, whosever. */
  readonly messageIds: Set<string>;
  onPart(attemptId: string, part: MessagePart): void;
  onAsked(asked: AgentAsks): void;
}

/** Those that are no mere end of the work. */
const CUT_OUTCOMES: { readonly [R in AbortReason]?: Ending["outcome"] } = {
  steered: "superseded",
  stuck_turn: "error",
};

export class Turn {
  readonly #options: TurnOptions;
  readonly #dispatch: PromptDispatch;
  readonly #clock: AnchoredClock = createAnchoredClock();
  readonly #startMs: number;
  readonly #span: SpanOf<"valet.turn">;
  readonly #tally = new TurnTally();
  readonly #changedParts = new Set<string>();
  #partTimer: ReturnType<typeof setTimeout> | undefined;
  #prompt: AgentPrompt | undefined;
  #answer: AnswerParts | undefined;
  #cut: AbortReason | undefined;
  #failovers = 0;
  #model: string | undefined;
  /** Who waits for the answers to this turn's requests, by the request's id. */
  readonly #asked = new Map<string, OpenCodeClient>();

  constructor(options: TurnOptions, dispatch: PromptDispatch) {
    this.#options = options;
    this.#dispatch = dispatch;
    this.#startMs = this.#nowMs();
    this.#span = options.tracer.startSpan("valet.turn", {
      kind: SpanKind.CONSUMER,
      // Only its own: without one the turn begins a trace, whatever else is at work.
      parent: extractFromHeaders({ traceparent: dispatch.traceparent, tracestate: dispatch.tracestate }),
      startTime: this.#startMs,
      attributes: turnAttributes(dispatch),
    });
  }

  /** `valet.turn` as it is now, for who must end it should this process die; none where nothing is recorded. */
  get openSpan(): string | undefined {
    // A span that records can be read.
    return this.#span.isRecording ? serialiseSpan(this.#span as unknown as OpenSpan) : undefined;
  }

  /** @param before what must have ended first: the turn before in the same channel */
  async run(before: Promise<unknown>): Promise<TurnResult> {
    await before;
    let ending: Ending;
    let session: { id: string; client: OpenCodeClient } | undefined;
    let isOwn: (userMessageId: string) => boolean = () => false;
    try {
      const client = await this.#options.agent.ready(this.#span);
      const { id, isNew } = await this.#openSession(client);
      session = { id, client };
      this.#span.setAttribute("valet.opencode.session.id", id);
      const { ending: last, userMessageIds } = await this.#tryModels(client, id, isNew);
      ending = last;
      isOwn = (userMessageId) => userMessageIds.has(userMessageId);
    } catch {
      // Nothing but the two calls above fails: OpenCode is not there, or does not answer.
      ending = this.#cutEnding() ?? { outcome: "error", errorType: "opencode_unhealthy" };
    }
    clearTimeout(this.#partTimer);
    this.#tellParts();
    if (ending.errorType === "opencode_died") session = await this.#revive(session);
    const parts = await this.#finalize(session, isOwn);
    return this.#end(ending, session?.id, parts);
  }

  /** Cuts the turn short. Its promise settles once the agent has come to rest. The first reason counts. */
  async abort(reason: AbortReason): Promise<void> {
    this.#cut ??= reason;
    await this.#prompt?.abort(this.#cutEnding() as Ending);
  }

  /** Passes on a person's answer, if it is this turn that asked. */
  async reply(reply: AgentReply): Promise<void> {
    if (reply.type === "permission-reply") {
      await this.#asked.get(reply.permissionId)?.replyPermission(reply.permissionId, reply.reply);
    } else {
      await this.#asked.get(reply.questionId)?.replyQuestion(reply.questionId, reply.answers);
    }
  }

  #cutEnding(): Ending | undefined {
    if (this.#cut === undefined) return undefined;
    return { outcome: CUT_OUTCOMES[this.#cut] ?? "aborted", errorType: this.#cut };
  }

  /** The channel's OpenCode session, or a new one where there is none, or none any more. */
  async #openSession(client: OpenCodeClient): Promise<{ id: string; isNew: boolean }> {
    const { context } = this.#span;
    const known = this.#dispatch.opencodeSessionId;
    if (known !== undefined && (await client.hasSession(known, context))) return { id: known, isNew: false };
    return { id: await client.createSession(context), isNew: true };
  }

  async #tryModels(client: OpenCodeClient, sessionId: string, isNewSession: boolean) {
    const { model, models } = this.#dispatch;
    const chain = [...new Set([model, ...models, this.#options.defaultModel])].filter((ref) => ref !== undefined);
    let follows: SpanContext | undefined;
    let failed: Ending | undefined;
    let userMessageIds: ReadonlySet<string> = new Set();
    for (const [index, ref] of chain.entries()) {
      const cut = this.#cutEnding();
      if (cut !== undefined) return { ending: cut, userMessageIds };
      if (failed !== undefined) this.#failovers++;
      const attempt = this.#startPrompt(
        client,
        sessionId,
        ref,
        index + 1,
        follows,
        isNewSession && failed === undefined,
      );
      const ending = await attempt.prompt.run();
      userMessageIds = attempt.reducer.userMessageIds;
      this.#model = ref;
      if (!mayFailOver(ending)) return { ending, userMessageIds };
      failed = ending;
      follows = attempt.context;
    }
    return { ending: { outcome: "error", errorType: "model_chain_exhausted" } satisfies Ending, userMessageIds };
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
    const { agent, tracer, captureContent, limits, messageIds } = this.#options;
    // A name without a provider can only be the endpoint's own; OpenCode says if it is not.
    const model = splitModel(ref) ?? { providerID: OWN_PROVIDER, modelID: ref };
    const messageID = newMessageId(this.#nowMs());
    messageIds.add(messageID);
    const reducer = new TurnReducer({
      attemptId: this.#dispatch.attemptId,
      sessionId,
      userMessageId: messageID,
      startMs: Math.floor(this.#nowMs()),
      attributes: {
        ...providerAttributes(model.providerID),
        "gen_ai.request.model": model.modelID,
        "valet.failover.attempt": place,
      },
      isOthers: (id) => id !== messageID && messageIds.has(id),
    });
    const emitter = new SpanEmitter({ tracer, parent: this.#span, captureContent });
    const answer = new AnswerParts(sessionId, (id) => reducer.userMessageIds.has(id));
    this.#answer = answer;
    const context = this.#span.isRecording ? { ...this.#span.context, spanId: reducer.spanId } : this.#span.context;
    const prompt = new AgentPrompt({
      ...{ agent, client, reducer, sessionId, context, limits },
      prompt: { messageID, model, parts: promptParts(this.#dispatch, isFirst) },
      onFacts: (facts) => {
        this.#tally.add(facts);
        emitter.emit(facts, follows);
      },
      onEvent: (event) => this.#onEvent(event, answer, client),
    });
    this.#prompt = prompt;
    return { prompt, reducer, context };
  }

  #onEvent(event: AgentEvent, answer: AnswerParts, client: OpenCodeClient): void {
    if (event.type === "permission.asked" || event.type === "question.asked") {
      const { id } = event.properties;
      if (this.#asked.has(id)) return;
      this.#asked.set(id, client);
      this.#options.onAsked(askedFrame(event, this.#dispatch.attemptId));
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
      if (part !== undefined) this.#options.onPart(this.#dispatch.attemptId, part);
    }
    this.#changedParts.clear();
  }

  /** OpenCode died: the next turn needs it, and its history may still hold the answer so far. */
  async #revive(session: { id: string } | undefined) {
    try {
      const client = await this.#options.agent.ready(this.#span);
      return session === undefined ? undefined : { id: session.id, client };
    } catch {
      return undefined;
    }
  }

  /** The answer as OpenCode's history has it; as it was seen to come, where OpenCode does not answer. */
  async #finalize(
    session: { id: string; client: OpenCodeClient } | undefined,
    isOwn: (userMessageId: string) => boolean,
  ): Promise<MessagePart[]> {
    const seen = this.#answer?.all() ?? [];
    const span = this.#options.tracer.startSpan("valet.turn.finalize", {
      parent: this.#span,
      startTime: this.#nowMs(),
      attributes: { "valet.message.id": this.#dispatch.messageId },
    });
    let parts = seen;
    let errorType: "opencode_unhealthy" | undefined;
    if (session !== undefined && this.#answer !== undefined) {
      try {
        parts = partsOfHistory(await session.client.messages(session.id, span.context), isOwn);
      } catch {
        errorType = "opencode_unhealthy";
      }
    }
    const length = parts.reduce((total, part) => total + (part.type === "text" ? part.text.length : 0), 0);
    span.setAttribute("valet.turn.response_length", length);
    endWith(span, errorType === undefined ? "ok" : "error", errorType, this.#nowMs());
    return parts;
  }

  #end(ending: Ending, sessionId: string | undefined, parts: MessagePart[]): TurnResult {
    const endMs = this.#nowMs();
    const summary = this.#tally.summary(this.#startMs, endMs, this.#model);
    this.#span.setAttributes({
      "valet.turn.failover_count": this.#failovers,
      "valet.turn.model_call_count": summary.modelCalls,
      "valet.turn.retry_count": summary.retries,
      "valet.turn.tool_call_count": summary.toolCalls,
      "valet.turn.tool_error_count": summary.toolErrors,
      "valet.turn.time_to_first_token_ms":
        summary.timeToFirstTokenMs === undefined ? undefined : Math.round(summary.timeToFirstTokenMs),
    });
    const errorType = turnErrorType(ending);
    endWith(this.#span, ending.outcome, errorType, endMs);
    return {
      outcome: ending.outcome === "superseded" ? "aborted" : ending.outcome,
      ...(errorType === undefined ? {} : { errorType }),
      ...(sessionId === undefined ? {} : { opencodeSessionId: sessionId }),
      parts,
      summary,
    };
  }

  #nowMs(): number {
    const { seconds, nanos } = this.#clock();
    return seconds * 1000 + nanos / 1e6;
  }
}

type TurnErrorType = Exclude<ValetSpans["valet.turn"]["attributes"]["error.type"], undefined>;

/** The errors that a turn may end with, of those that the agent's work in it may end with. */
const TURN_ERRORS: readonly TurnErrorType[] = [
  "user_abort",
  "steered",
  "session_hibernated",
  "session_terminated",
  "runner_shutdown",
  "opencode_died",
  "opencode_unhealthy",
  "stuck_turn",
  "model_chain_exhausted",
  "permission_denied",
];

function turnErrorType({ outcome, errorType }: Ending): TurnErrorType | undefined {
  if (outcome === "ok") return undefined;
  return TURN_ERRORS.find((type) => type === errorType) ?? "opencode_error";
}

function turnAttributes(dispatch: PromptDispatch): ValetSpans["valet.turn"]["attributes"] {
  const { queue, messageIds } = dispatch;
  const isBatch = messageIds.length > 1 || queue.collectBufferMs !== undefined;
  return {
    "valet.message.id": dispatch.messageId,
    "valet.dispatch.attempt_id": dispatch.attemptId,
    "valet.dispatch.attempt": dispatch.attempt,
    "valet.channel.id": dispatch.channel,
    "valet.thread.id": dispatch.threadId,
    "valet.queue.wait_ms": Math.round(queue.waitMs),
    "valet.queue.reason": QUEUE_REASONS.find((reason) => reason === queue.reason),
    "valet.queue.mode": QUEUE_MODES.find((mode) => mode === queue.mode),
    "valet.collect.message_count": isBatch ? messageIds.length : undefined,
    "valet.collect.buffer_ms": queue.collectBufferMs === undefined ? undefined : Math.round(queue.collectBufferMs),
    "valet.collect.message_ids": isBatch ? messageIds : undefined,
  };
}

/** @param isFirst whether the OpenCode session knows nothing of what went before */
function promptParts({ content, attachments, continuationContext }: PromptDispatch, isFirst: boolean): PromptPart[] {
  return [
    ...(isFirst && continuationContext !== undefined
      ? [{ type: "text" as const, text: continuationContext, synthetic: true }]
      : []),
    { type: "text", text: content },
    ...attachments.map(({ filename, mediaType, url }) => ({ type: "file" as const, mime: mediaType, filename, url })),
  ];
}
