/** Implements the port for OpenCode: sessions of its server, and prompts whose events become facts. */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "@valet/shared/limits";
import type { ModelCallPermit as PluginPermit } from "@valet/shared/protocol/child-sessions";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { DEFAULT_PROVIDER_CONTEXT, type ProviderContext } from "@valet/shared/protocol/provider-context";
import { contextHeaders, type SpanContext } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type {
  Agent,
  AgentPrompt,
  AgentReply,
  AgentSession,
  ModelCallPermit,
  ModelCallRef,
  OpenRequest,
  PromptRequest,
  ToolCallRef,
} from "../agent/agent.ts";
import type { Ending } from "../agent/facts.ts";
import { chatSpanId, toolSpanId } from "../agent/span-ids.ts";
import type { AgentAccess } from "./agent-access.ts";
import type { ModelFacts } from "./agent-run-options.ts";
import { AnnouncedMessages } from "./announced-messages.ts";
import { AnswerParts, partsOfHistory } from "./answer-parts.ts";
import { askedFrame } from "./asked-frame.ts";
import { type OpenCodeClient, OpenCodeError } from "./client.ts";
import { openCodeModel } from "./config.ts";
import type { AgentEvent } from "./events.ts";
import { beginsTurn } from "./history.ts";
import { newMessageId } from "./ids.ts";
import { PromptRun } from "./prompt-run.ts";
import { OpenCodeStartError } from "./server.ts";
import { TurnReducer } from "./turn-reducer.ts";
import { serverAttributes } from "./usage.ts";

/** Converts the plugin's reference to a call into the port's. */
export function callRef<C extends { readonly opencodeSessionId: string }>({ opencodeSessionId, ...call }: C) {
  return { ...call, sessionId: opencodeSessionId };
}

/** Converts a permit into the answer that the plugin reads. @param carried what model calls carry to providers */
export function permitOf(
  permit: { readonly isRefused: boolean; readonly context: SpanContext | undefined },
  carried: ProviderContext = DEFAULT_PROVIDER_CONTEXT,
): PluginPermit {
  if (permit.isRefused) return { isRefused: true };
  if (permit.context === undefined || !carried.traceparent) return {};
  const { traceparent, tracestate } = contextHeaders(permit.context);
  const { tracestateHosts } = carried;
  const hasState = tracestate !== undefined && tracestateHosts.length > 0;
  return { ...withoutUndefined({ traceparent }), ...(hasState && { tracestate, tracestateHosts }) };
}

/** The state that all prompts of a runner share. */
interface Shared {
  readonly access: AgentAccess;
  /** The message ids of all prompts of this runner. */
  readonly messageIds: Set<string>;
  readonly model: ModelFacts;
  readonly announced: AnnouncedMessages;
  /** The sessions whose last prompt ended well, and the client of the OpenCode that ran it. */
  readonly proven: Map<string, OpenCodeClient>;
}

export class OpenCodeAgent implements Agent {
  readonly #shared: Shared;

  /** @param ownEndpoint the base URL of the deployment's own endpoint, if there is one */
  constructor(access: AgentAccess, ownEndpoint?: string) {
    const announced = new AnnouncedMessages();
    access.subscribe(announced);
    this.#shared = {
      access,
      announced,
      messageIds: new Set(),
      proven: new Map(),
      model: {
        ownServer: serverAttributes(ownEndpoint),
        compacted: new Set(),
        mcpWait: (fromMs, untilMs) => access.mcpWait?.(fromMs, untilMs),
      },
    };
  }

  /**
   * Opens a session, with a second try if OpenCode dies or hangs before the session exists.
   * @throws OpenCodeStartError, OpenCodeError
   */
  async open(request: OpenRequest): Promise<AgentSession> {
    const open = () => this.#open(request);
    try {
      return await open();
    } catch (error) {
      const isRefusal = error instanceof OpenCodeError && (error.status ?? 0) >= 400;
      if (isRefusal || error instanceof OpenCodeStartError) throw error;
      return open();
    }
  }

  /**
   * A session whose last prompt ended well is not asked for again: OpenCode would answer that before it takes the prompt, and takes
   * twice as long for it as for the health check. After any other end, and in a new process, it is.
   */
  async #open(request: OpenRequest): Promise<AgentSession> {
    const { parent, sessionId } = request;
    const { access, proven } = this.#shared;
    if (sessionId === undefined || !proven.has(sessionId)) {
      return access.begin(parent, (client) => this.#openWith(client, request));
    }
    const client = await access.ready(parent);
    if (client === proven.get(sessionId)) return new OpenCodeSession(this.#shared, client, sessionId, false);
    return this.#openWith(client, request);
  }

  async #openWith(client: OpenCodeClient, { parent: { context }, sessionId }: OpenRequest): Promise<AgentSession> {
    if (sessionId !== undefined && (await client.hasSession(sessionId, context))) {
      return new OpenCodeSession(this.#shared, client, sessionId, false);
    }
    return new OpenCodeSession(this.#shared, client, await client.createSession(context), true);
  }

  restart(cause: SpanContext): void {
    this.#shared.access.restart(cause);
  }
}

class OpenCodeSession implements AgentSession {
  readonly id: string;
  readonly isNew: boolean;
  readonly #shared: Shared;
  readonly #client: OpenCodeClient;

  constructor(shared: Shared, client: OpenCodeClient, id: string, isNew: boolean) {
    this.#shared = shared;
    this.#client = client;
    this.id = id;
    this.isNew = isNew;
  }

  prompt(request: PromptRequest): AgentPrompt {
    return new OpenCodePrompt(this.#shared, this.#client, this.id, request);
  }

  /** @throws OpenCodeError */
  async reply(reply: AgentReply): Promise<void> {
    if (reply.type === "permission-reply") await this.#client.replyPermission(reply.permissionId, reply.reply);
    else await this.#client.replyQuestion(reply.questionId, reply.answers);
  }
}

class OpenCodePrompt implements AgentPrompt {
  readonly context: SpanContext;
  readonly #request: PromptRequest;
  readonly #client: OpenCodeClient;
  readonly #reducer: TurnReducer;
  readonly #answer: AnswerParts;
  readonly #announced: AnnouncedMessages;
  readonly #proven: Shared["proven"];
  readonly #run: PromptRun;
  /** Whether the agent has asked for a permit of a model call. */
  #isCalling = false;

  constructor(
    { access, announced, messageIds, proven, model: facts }: Shared,
    client: OpenCodeClient,
    sessionId: string,
    request: PromptRequest,
  ) {
    this.#request = request;
    this.#client = client;
    this.#announced = announced;
    this.#proven = proven;
    const { attemptId, parts, parent, place, pollingTools, limits, nowMs } = request;
    const model = openCodeModel(request.model);
    const messageID = newMessageId(nowMs());
    messageIds.add(messageID);
    const reducer = new TurnReducer({
      attemptId,
      sessionId,
      userMessageId: messageID,
      startMs: Math.floor(nowMs()),
      attributes: {
        "valet.failover.model": `${model.providerID}/${model.modelID}`,
        "valet.failover.attempt": place,
      },
      model: facts,
      pollingTools,
      isOthers: (id) => id !== messageID && messageIds.has(id),
    });
    this.context = parent.isRecording ? { ...parent.context, spanId: reducer.spanId } : parent.context;
    this.#reducer = reducer;
    this.#answer = new AnswerParts(attemptId, sessionId, (id) => this.#isOwn(id));
    this.#run = new PromptRun({
      agent: access,
      client,
      reducer,
      sessionId,
      context: this.context,
      limits,
      prompt: { messageID, model, parts },
      onFacts: (told) => request.onFacts(told),
      onEvent: (event) => this.#onEvent(event),
      onWorking: () => request.onWorking(),
    });
  }

  get isWaiting(): boolean {
    return this.#reducer.isWaiting;
  }

  async run(): Promise<Ending> {
    const { sessionId } = this.#reducer;
    const ending = await this.#run.run();
    if (ending.outcome === "ok") this.#proven.set(sessionId, this.#client);
    else this.#proven.delete(sessionId);
    return ending;
  }

  abort(ending: Ending): Promise<void> {
    return this.#run.abort(ending);
  }

  part(partId: string): MessagePart | undefined {
    return this.#answer.get(partId);
  }

  seenParts(): MessagePart[] {
    return this.#answer.all();
  }

  get historyMayDiffer(): boolean {
    return this.#run.historyMayDiffer;
  }

  /** @throws OpenCodeError */
  async readParts(context: SpanContext, timeoutMs?: number): Promise<MessagePart[]> {
    const { sessionId } = this.#reducer;
    const history = await this.#client.messages(sessionId, context, {
      expected: this.#reducer.messageCount(sessionId),
      isFirst: (message) => beginsTurn(message, this.#reducer),
      timeoutMs,
    });
    return partsOfHistory(this.#request.attemptId, history, (id) => this.#isOwn(id));
  }

  toolSpan({ sessionId, messageId, callId }: ToolCallRef, atMs: number): string | undefined {
    // The events of a sub-agent's session wait for the one that names it.
    if (!this.#reducer.knows(sessionId)) return undefined;
    const spanId = toolSpanId(this.#request.attemptId, sessionId, messageId, callId);
    // OpenCode reports a running tool a few milliseconds late, but the tool's request must not begin before the tool.
    this.#reducer.toolAsked(spanId, atMs);
    return spanId;
  }

  worksIn(sessionId: string): boolean {
    return !this.#reducer.hasEnded && this.#reducer.has(sessionId);
  }

  async permitModelCall(call: ModelCallRef): Promise<ModelCallPermit> {
    const { sessionId, messageId } = call;
    if (this.#reducer.refuses(call)) return { isRefused: true };
    const isFirst = this.#isFirst(call);
    this.#isCalling ||= isFirst;
    if (!this.#reducer.hasEnded) await this.#caughtUp(isFirst ? undefined : messageId);
    if (this.#reducer.refuses(call)) return { isRefused: true };
    if (this.#reducer.hasEnded || !this.#reducer.knows(sessionId)) return { isRefused: false };
    this.#run.recordRequest(call);
    const place = this.#reducer.nextCallPlace(call);
    return { isRefused: false, spanId: chatSpanId(this.#request.attemptId, sessionId, messageId, place) };
  }

  /**
   * Whether it is the prompt's first call. OpenCode has done nothing yet for which it could be refused, so its permit does not wait for
   * the event stream, which is 10 to 30 ms slower than the plugin.
   */
  #isFirst({ userMessageId }: ModelCallRef): boolean {
    return !this.#isCalling && !this.#reducer.hasBegun && userMessageId === this.#reducer.userMessageId;
  }

  /** Resolves once all events that have been read, and those from before the announcement of a message, are applied, or after a timeout. */
  async #caughtUp(messageId: string | undefined): Promise<void> {
    const waiting = new AbortController();
    const announced = messageId === undefined ? Promise.resolve() : this.#announced.until(messageId);
    const caughtUp = announced.then(() => this.#run.caughtUp());
    const tooLong = sleep(LIMITS.callCatchUpMs, undefined, waiting).catch(() => undefined);
    await Promise.race([caughtUp, tooLong]);
    waiting.abort();
  }

  #isOwn(userMessageId: string): boolean {
    return this.#reducer.userMessageIds.has(userMessageId);
  }

  #onEvent(event: AgentEvent): void {
    if (event.type === "permission.asked" || event.type === "question.asked") {
      this.#request.onAsked(askedFrame(event, this.#request.attemptId));
    }
    const changed = this.#answer.apply(event);
    if (changed !== undefined) this.#request.onPart(changed);
  }
}
