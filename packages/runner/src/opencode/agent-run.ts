/**
 * The agent's work on one prompt in one OpenCode session: the turn's own session, or a sub-agent's child session. It is one
 * `invoke_agent` span with all its descendants.
 */
import { OWN_PROVIDER } from "@valet/shared/protocol/model-access";
import type { AgentErrorType } from "../agent/errors.ts";
import { type Ending, type FactAttributes, OK } from "../agent/facts.ts";
import { LoopGuard } from "../agent/loop-guard.ts";
import { classifyError, isAbort } from "./agent-errors.ts";
import type { AgentRunOptions, Retry } from "./agent-run-options.ts";
import { CallsAhead } from "./calls-ahead.ts";
import { Compactions } from "./compactions.ts";
import type { AgentError, AgentEvent, AgentEventOf, AssistantMessage, SessionStatus, UserMessage } from "./events.ts";
import { ModelStep } from "./model-step.ts";
import { PersonWaits } from "./person-waits.ts";
import { ProviderCalls } from "./provider-calls.ts";
import { RunSpans } from "./run-spans.ts";
import type { StepContext } from "./step-context.ts";

export class AgentRun {
  readonly sessionId: string;
  readonly spanId: string;
  readonly #options: AgentRunOptions;
  readonly #context: StepContext;
  readonly #userMessages = new Map<string, { createdMs: number }>();
  readonly #steps = new Map<string, ModelStep>();
  readonly #compactions: Compactions;
  readonly #waits: PersonWaits;
  readonly #providerCalls = new ProviderCalls();
  #isIdle = true;
  /** Whether the session has been busy since OpenCode announced the prompt. */
  #hasBegunWork = false;
  /** The calls of messages that the event stream has not announced yet. */
  readonly #ahead = new CallsAhead();
  /** The first error before OpenCode announced the prompt. */
  #refusal: AgentErrorType | undefined;
  readonly #guard: LoopGuard;
  readonly #spans: RunSpans;
  /** Whether OpenCode has announced the prompt. Earlier errors may belong to previous work in the session. */
  #isAnnounced = false;
  /** When OpenCode announced a later prompt of the session. From then on this run gets no more messages. */
  #supersededMs: number | undefined;
  #isAbortAnswered = false;
  #error: { type: AgentErrorType | "aborted"; atMs: number } | undefined;
  retry: Retry | undefined;
  hasEnded = false;

  constructor(options: AgentRunOptions) {
    this.#options = options;
    this.sessionId = options.sessionId;
    this.spanId = options.spanId;
    if (options.userMessageId !== undefined) {
      this.#userMessages.set(options.userMessageId, { createdMs: options.sinceMs });
    }
    this.#context = {
      log: options.log,
      attemptId: options.attemptId,
      parentId: options.spanId,
      cutShort: options.cutShort,
      toolBegan: (key, toolSpanId, startMs) => this.#waits.toolBegan(key, toolSpanId, startMs),
      wasDenied: (key) => this.#waits.wasDenied(key),
      sessionError: () => {
        const { type, atMs } = this.#error ?? {};
        return atMs === undefined ? undefined : { type: type === "aborted" ? undefined : type, atMs };
      },
      settled: (info, error) => this.#stepSettled(info, error),
      providerCall: (sinceMs) => this.#providerCalls.lastSince(sinceMs),
      callAttributes: (providerId) => this.#callAttributes(providerId),
      callBegan: (startMs) => this.#spans.callBegan(startMs),
      answered: (answer) => this.#guard.answered(answer),
      toolEnded: (call) => this.#guard.toolEnded(call),
    };
    this.#waits = new PersonWaits({
      log: options.log,
      attemptId: options.attemptId,
      runSpanId: options.spanId,
      isOwn: (messageId) => this.#steps.has(messageId),
      toolSpan: (messageId, callId) => this.toolSpan(messageId, callId),
    });
    const { log, attemptId, sessionId, spanId: runSpanId } = options;
    this.#compactions = new Compactions({ log, attemptId, sessionId, runSpanId, compacted: options.model.compacted });
    this.#guard = new LoopGuard(options.pollingTools);
    this.#spans = new RunSpans(options);
  }

  /** The ids of the open requests to a person. */
  get openRequests(): readonly string[] {
    return this.#waits.open;
  }

  /** Whether the agent waits for a person, so silence is expected. */
  get isWaiting(): boolean {
    return this.#waits.open.length > 0;
  }

  /** Whether the session is idle, or busy with another prompt. */
  get #isAtRest(): boolean {
    return this.#isIdle || this.#supersededMs !== undefined;
  }

  /** How the run must end if it is in a loop. */
  get verdict(): Ending | undefined {
    const { verdict } = this.#guard;
    return verdict === undefined ? undefined : { outcome: "error", errorType: verdict };
  }

  /**
   * How the run ends if no more events follow: OpenCode refused the prompt before it announced it, or became idle without a
   * model call. The events of a working prompt may just be late, so this must be checked against the history.
   */
  get unanswered(): Ending | undefined {
    if (this.hasEnded || this.#steps.size > 0) return undefined;
    if (!this.#isAnnounced) {
      return this.#refusal === undefined ? undefined : { outcome: "error", errorType: this.#refusal };
    }
    return this.#hasBegunWork && this.#isIdle ? { outcome: "error", errorType: "no_model_call" } : undefined;
  }

  /**
   * Whether it seems to be over since OpenCode has answered an abort, is idle, and all messages are complete. Nothing may follow that
   * confirms it: OpenCode (1.18.33) sends the aborted message once more only if it had begun to work before the abort.
   */
  get isUnconfirmed(): boolean {
    if (this.hasEnded || !this.#isAbortAnswered || !this.#isIdle || this.#steps.size === 0) return false;
    return [...this.#steps.values()].every((step) => step.isCompleted);
  }

  get isBusy(): boolean {
    return !this.#isIdle && !this.hasEnded;
  }

  /** Whether it has an assistant message. */
  get hasBegun(): boolean {
    return this.#steps.size > 0;
  }

  /** The number of this run's messages. */
  get messageCount(): number {
    return this.#userMessages.size + this.#steps.size;
  }

  /** The run's user messages, which identify its part of the history. */
  get userMessageIds(): ReadonlySet<string> {
    return new Set(this.#userMessages.keys());
  }

  apply(event: AgentEvent, atMs: number): void {
    const wasAtRest = this.#isAtRest;
    switch (event.type) {
      case "message.updated":
        if (event.properties.info.role === "user") this.#userMessage(event.properties.info, atMs);
        else this.#assistantMessage(event.properties.info);
        break;
      case "message.part.updated":
        this.#part(event, atMs);
        break;
      case "message.part.delta":
        this.#openStep(event.properties.messageID)?.delta(event.properties.partID, event.properties.delta, atMs);
        break;
      case "model.request":
        if (!this.#steps.has(event.properties.messageID)) this.#ahead.requested(event.properties);
        this.#openStep(event.properties.messageID)?.requested(event.properties);
        break;
      case "provider.call":
        this.#providerCalls.add(event.properties.call);
        this.#workingStep()?.answered(event.properties.call.startedMs);
        this.recordBytes(event.properties.call.endedMs ?? event.properties.call.startedMs);
        this.#workingStep()?.providerTold();
        break;
      case "session.status":
        this.#status(event.properties.status, atMs);
        break;
      case "session.error":
        if (event.properties.error !== undefined) this.#sessionError(this.#errorOf(event.properties.error, atMs));
        break;
      default:
        this.#waits.apply(event, atMs);
    }
    this.#endIfOver(atMs, wasAtRest && this.#isFinal(event));
  }

  /** The span of a tool call, if it has begun. */
  toolSpan(messageId: string, callId: string): string | undefined {
    return this.#steps.get(messageId)?.toolSpan(callId);
  }

  /** Returns the number, in its step, of the model call that the next request for a message belongs to. */
  nextCallPlace(messageId: string): number {
    return this.#steps.get(messageId)?.nextCallPlace ?? 1;
  }

  /** Since when it waits for the report of a request before it begins the model call, epoch ms. */
  get heldMs(): number | undefined {
    return this.#workingStep()?.heldMs;
  }

  /** Begins the model call for which no report has come in time. */
  beginHeldCall(): void {
    this.#workingStep()?.beginHeldCall();
  }

  /** Records that the request of a message's model call is about to be sent. */
  recordRequest(messageId: string, atMs: number): void {
    if (!this.#steps.has(messageId)) this.#ahead.permitted(messageId, atMs);
    this.#openStep(messageId)?.recordRequest(atMs);
  }

  /** Records that the provider has sent bytes. */
  recordBytes(atMs: number): void {
    this.#workingStep()?.recordBytes(atMs);
  }

  /** Records that the model call for a message was refused. */
  refuseCall(messageId: string): void {
    this.#steps.get(messageId)?.refuseCall();
  }

  /** Records that OpenCode does not respond since `sinceMs`. Has no effect before OpenCode has announced the prompt. */
  unresponsive(sinceMs: number): void {
    if (!this.hasEnded) this.#spans.unresponsive(sinceMs);
  }

  /** Records that OpenCode has connected to its MCP servers. */
  mcpConnected(): void {
    this.#spans.mcpConnected();
  }

  /** Records that OpenCode responds again. */
  responsive(atMs: number): void {
    this.#spans.responsive(atMs);
  }

  /** Records that OpenCode has answered an abort. A prompt without an assistant message by then will not get one. */
  abortAnswered(atMs: number): void {
    this.#isAbortAnswered = true;
    this.#endIfOver(atMs, false);
  }

  /** Ends the run and its open spans. `fallback` applies if nothing else determines how it ended. */
  end(atMs: number, fallback: Ending = OK): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    const { cutShort } = this.#options;
    this.#ensureBegun("agent");
    const error = this.#error?.type === "aborted" ? undefined : this.#error?.type;
    for (const step of this.#steps.values()) {
      if (step.isCompleted) step.settle();
      else step.close(atMs, atMs, error);
    }
    this.ending = cutShort() ?? this.#ownEnding() ?? fallback;
    this.#spans.end(atMs, this.ending);
  }

  /** How the run ended; `ok` until then. */
  ending: Ending = OK;

  #ownEnding(): Ending | undefined {
    // An abort that somebody asked for is why the run was cut short.
    if (this.#error?.type === "aborted") return { outcome: "error", errorType: "opencode_error" };
    if (this.#error !== undefined) return { outcome: "error", errorType: this.#error.type };
    const last = [...this.#steps.values()].at(-1);
    if (last?.wasDenied) return { outcome: "error", errorType: "permission_denied" };
    return last?.problem === undefined ? undefined : { outcome: "error", errorType: last.problem };
  }

  /**
   * Ends the run if it is over: it has an assistant message, all of its assistant messages are complete, and the session is
   * idle or busy with a later prompt. Without an assistant message it is over after an error, since OpenCode could not begin,
   * or after an abort that overtook the prompt.
   * @param isFinal whether OpenCode has confirmed the end after it became idle
   */
  #endIfOver(atMs: number, isFinal: boolean): void {
    if (this.hasEnded || !this.#isAtRest) return;
    const steps = [...this.#steps.values()];
    if (steps.length === 0) {
      if (this.#error !== undefined || this.#isAbortAnswered) this.end(atMs);
      return;
    }
    if (!steps.every((step) => step.isCompleted)) return;
    // After an error OpenCode becomes idle first, then ends what was open, and sends the message once more. After a later
    // prompt, a message that seems complete may have been sent before its parts.
    const isSure =
      isFinal || steps.every(({ info, isSettled }) => isSettled || (this.#isIdle && info.error === undefined));
    if (!isSure) return;
    const completedMs = Math.max(...steps.map(({ info }) => info.time.completed ?? 0));
    this.end(this.#isIdle ? atMs : Math.max(this.#supersededMs ?? 0, completedMs));
  }

  /** Returns whether an event reports the end of one of this run's messages, or an idle session. */
  #isFinal({ type, properties }: AgentEvent): boolean {
    if (type === "session.status") return properties.status.type === "idle";
    if (type !== "message.updated" || properties.info.role !== "assistant") return false;
    return properties.info.time.completed !== undefined && this.#steps.has(properties.info.id);
  }

  #userMessage({ id, time, agent }: UserMessage, atMs: number): void {
    const isOwn = this.#userMessages.has(id);
    if (!isOwn && time.created < this.#options.sinceMs) return;
    if (!isOwn && this.#options.isOthers(id)) {
      this.#supersededMs ??= atMs;
      return;
    }
    if (!isOwn && this.#supersededMs !== undefined) return;
    // An automatic compaction creates further user messages, and in a child session the agent creates the prompt.
    if (!isOwn) this.#userMessages.set(id, { createdMs: time.created });
    this.#isAnnounced = true;
    this.#ensureBegun(agent);
  }

  #ensureBegun(agent = "agent"): void {
    const [first] = this.#userMessages;
    if (first !== undefined) this.#spans.begin(agent, first[0], first[1].createdMs);
  }

  #callAttributes(providerId: string): FactAttributes {
    return {
      ...(providerId === OWN_PROVIDER && this.#options.model.ownServer),
      "gen_ai.conversation.compacted": this.#compactions.hasCompacted || undefined,
    };
  }

  #assistantMessage(info: AssistantMessage): void {
    if (!this.#userMessages.has(info.parentID)) return;
    let step = this.#steps.get(info.id);
    if (step === undefined) {
      this.#ensureBegun(info.agent);
      // The agent continues, so earlier steps are over, and an earlier error is not how the run ends.
      for (const earlier of this.#steps.values()) earlier.settle();
      this.#error = undefined;
      const compaction = this.#compactions.spanOf(info.parentID);
      const context = compaction === undefined ? this.#context : { ...this.#context, parentId: compaction };
      step = new ModelStep(info, context);
      this.#steps.set(info.id, step);
      const { permittedMs, request } = this.#ahead.take(info.id);
      if (permittedMs !== undefined) step.recordRequest(permittedMs);
      if (request !== undefined) step.requested(request);
      // An aborted run gets no permit. The plugin reports a request that left before the abort.
      if (this.#options.cutShort() !== undefined) step.refuseCall();
    }
    step.told(info);
  }

  #stepSettled(info: AssistantMessage, error: AgentErrorType | undefined): void {
    const completedMs = info.time.completed as number;
    if (info.error !== undefined) this.#error ??= this.#errorOf(info.error, completedMs);
    this.retry = undefined;
    const failed: Ending | undefined = error === undefined ? undefined : { outcome: "error", errorType: error };
    this.#compactions.end(info.parentID, completedMs, this.#options.cutShort() ?? failed);
  }

  /** Records an error of the session. Before OpenCode has announced the prompt, it may belong to previous work. */
  #sessionError(error: { type: AgentErrorType | "aborted"; atMs: number }): void {
    const newest = [...this.#steps.values()].at(-1);
    // A late event: the agent has continued since.
    if (newest !== undefined && error.atMs < newest.info.time.created) return;
    if (this.#isAnnounced) this.#error = error;
    else if (error.type !== "aborted" && error.atMs >= this.#options.sinceMs) this.#refusal ??= error.type;
  }

  #part({ properties: { part } }: AgentEventOf<"message.part.updated">, atMs: number): void {
    const user = this.#userMessages.get(part.messageID);
    if (user === undefined) this.#openStep(part.messageID)?.part(part, atMs);
    else if (part.type === "compaction") this.#compactions.begin(part.messageID, part.auto, user.createdMs);
  }

  #workingStep(): ModelStep | undefined {
    return [...this.#steps.values()].findLast(({ isSettled }) => !isSettled);
  }

  /** A step that may still change. */
  #openStep(messageId: string): ModelStep | undefined {
    const step = this.#steps.get(messageId);
    return step?.isSettled ? undefined : step;
  }

  #status(status: SessionStatus, atMs: number): void {
    // A status names no message. If no step of this run is working, it belongs to another turn.
    const step = this.#workingStep();
    this.#isIdle = status.type === "idle";
    if (this.#isAnnounced && !this.#isIdle) this.#hasBegunWork = true;
    if (step === undefined) return;
    if (status.type === "busy") step.busy(atMs);
    else if (status.type === "retry") {
      this.retry = { error: step.retry(status, atMs), failures: status.attempt, nextMs: status.next };
    }
  }

  #errorOf(error: AgentError, atMs: number): { type: AgentErrorType | "aborted"; atMs: number } {
    const newest = [...this.#steps.values()].at(-1);
    const told = this.#providerCalls.lastSince(newest?.info.time.created ?? this.#options.sinceMs);
    return { type: isAbort(error) ? "aborted" : classifyError(error, told?.status), atMs };
  }
}
