/**
 * The agent's work on one prompt in one OpenCode session: the turn's own, or a sub-agent's in a child session. One
 * `invoke_agent` span with everything below it.
 */
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import { OWN_PROVIDER } from "@valet/shared/protocol/model-access";
import type { SpanAttributes } from "@valet/shared/spans";
import type { AgentErrorType, ProviderError } from "../agent/errors.ts";
import type { FactLog } from "../agent/fact-log.ts";
import { type Ending, type FactAttributes, OK } from "../agent/facts.ts";
import { LoopGuard } from "../agent/loop-guard.ts";
import { deriveSpanId } from "../agent/span-ids.ts";
import { classifyError, isAbort } from "./agent-errors.ts";
import type { AgentError, AgentEvent, AgentEventOf, AssistantMessage, SessionStatus, UserMessage } from "./events.ts";
import { ModelStep, type StepContext } from "./model-step.ts";
import { PersonWaits } from "./person-waits.ts";

export interface AgentRunOptions {
  readonly log: FactLog;
  readonly attemptId: string;
  readonly sessionId: string;
  readonly spanId: string;
  /** The span of the `task` call; the turn's own run has none here. */
  readonly parentId: string | undefined;
  /** No user message from before this is its own: earlier ones are updated late. */
  readonly sinceMs: number;
  /** The prompt's message id, if the runner made it; then it was sent at `sinceMs`. */
  readonly userMessageId?: string;
  readonly attributes?: FactAttributes;
  readonly model: ModelFacts;
  cutShort(): Ending | undefined;
  /** Whether a user message is another turn's: then this one gets no more of them. */
  isOthers(messageId: string): boolean;
  /** Tools that may be asked for the same again and again. */
  readonly pollingTools: ReadonlySet<string>;
}

/** What is known of model calls from elsewhere than their events. */
export interface ModelFacts {
  /** Where the endpoint of one's own is. */
  readonly ownServer: SpanAttributes<`chat ${string}`>;
  /** OpenCode's sessions whose history was summed up; what this run learns of that is added. */
  readonly compacted: Set<string>;
}

/** What a model's provider did last, for who decides whether to go on waiting for it. */
export interface Retry {
  readonly error: ProviderError;
  /** How often the same call has failed in a row. */
  readonly failures: number;
  /** When OpenCode tries again. */
  readonly nextMs: number;
}

export class AgentRun {
  readonly sessionId: string;
  readonly spanId: string;
  readonly #options: AgentRunOptions;
  readonly #context: StepContext;
  readonly #userMessages = new Map<string, { createdMs: number }>();
  readonly #steps = new Map<string, ModelStep>();
  /** Compactions by the user message that began them. */
  readonly #compactions = new Map<string, string>();
  readonly #waits: PersonWaits;
  /** Requests to providers by their ids, in the order of their answers. */
  readonly #providerCalls = new Map<string, ProviderCall>();
  #isIdle = true;
  /** Whether the session has been busy since OpenCode told of the prompt. */
  #hasBegunWork = false;
  /** The first error of a prompt that OpenCode has told nothing else of. */
  #refusal: AgentErrorType | undefined;
  readonly #guard: LoopGuard;
  readonly #prepareSpanId: string;
  /** Whether OpenCode has told of the prompt; errors from before are of what went on in the session until then. */
  #isAnnounced = false;
  /** When a later prompt of the session was told; then this one gets no more messages. */
  #supersededMs: number | undefined;
  #isAbortAnswered = false;
  /** The open span of OpenCode's silence. */
  #silenceSpanId: string | undefined;
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
      settled: (step, error) => this.#stepSettled(step, error),
      providerCall: (sinceMs) => this.#providerCall(sinceMs),
      callAttributes: (providerId) => this.#callAttributes(providerId),
      callBegan: (startMs) => options.log.end(this.#prepareSpanId, startMs, OK),
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
    this.#guard = new LoopGuard(options.pollingTools);
    this.#prepareSpanId = deriveSpanId(options.attemptId, options.sessionId, options.spanId, "prepare");
  }

  /** The requests to a person that are open, by their ids. */
  get openRequests(): readonly string[] {
    return this.#waits.open;
  }

  /** Whether the agent waits for a person, and silence is no sign of trouble. */
  get isWaiting(): boolean {
    return this.#waits.open.length > 0;
  }

  /** Whether the session is idle, or busy with another prompt. */
  get #isAtRest(): boolean {
    return this.#isIdle || this.#supersededMs !== undefined;
  }

  /** Why the run goes in circles and must be ended, if it does. */
  get verdict(): Ending | undefined {
    const { verdict } = this.#guard;
    return verdict === undefined ? undefined : { outcome: "error", errorType: verdict };
  }

  /**
   * How the run ends if what OpenCode has told is all that it has done: it refused the prompt before it told of it, or it
   * went back to idle without asking a model. The events of one that does work may only be late.
   */
  get unanswered(): Ending | undefined {
    if (this.hasEnded || this.#steps.size > 0) return undefined;
    if (!this.#isAnnounced) {
      return this.#refusal === undefined ? undefined : { outcome: "error", errorType: this.#refusal };
    }
    return this.#hasBegunWork && this.#isIdle ? { outcome: "error", errorType: "no_model_call" } : undefined;
  }

  get isBusy(): boolean {
    return !this.#isIdle && !this.hasEnded;
  }

  /** Whether it has an assistant message. */
  get hasBegun(): boolean {
    return this.#steps.size > 0;
  }

  /** How many messages are this run's. */
  get messageCount(): number {
    return this.#userMessages.size + this.#steps.size;
  }

  /** The user messages that are this run's, for its part of the history. */
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
      case "provider.call":
        this.#providerCalls.set(event.properties.call.callId, event.properties.call);
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

  /** The model call for a message is not made. */
  refuseCall(messageId: string): void {
    this.#steps.get(messageId)?.refuseCall();
  }

  /** OpenCode answers no health check since then. Nothing while it has not told of the prompt: nothing is open to say it of. */
  unresponsive(sinceMs: number): void {
    const { log, attemptId, sessionId } = this.#options;
    if (this.hasEnded || this.#silenceSpanId !== undefined || !log.isOpen(this.spanId)) return;
    this.#silenceSpanId = deriveSpanId(attemptId, sessionId, this.spanId, "unresponsive", sinceMs);
    log.begin("valet.agent.unresponsive", this.#silenceSpanId, this.spanId, sinceMs, {});
  }

  /** It answers again. */
  responsive(atMs: number): void {
    if (this.#silenceSpanId === undefined) return;
    this.#options.log.end(this.#silenceSpanId, atMs, OK);
    this.#silenceSpanId = undefined;
  }

  /** OpenCode has answered an abort: a prompt that has no assistant message by then will get none. */
  abortAnswered(atMs: number): void {
    this.#isAbortAnswered = true;
    this.#endIfOver(atMs, false);
  }

  /** Ends the run and all that it left open. `fallback` is how, where nothing tells otherwise. */
  end(atMs: number, fallback: Ending = OK): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    const { log, cutShort } = this.#options;
    this.#ensureBegun("agent");
    const error = this.#error?.type === "aborted" ? undefined : this.#error?.type;
    for (const step of this.#steps.values()) {
      if (step.isCompleted) step.settle();
      else step.close(atMs, atMs, error);
    }
    this.ending = cutShort() ?? this.#ownEnding() ?? fallback;
    log.end(this.#prepareSpanId, atMs, this.ending);
    log.end(this.spanId, atMs, this.ending);
  }

  /** How it ended; `ok` until then. */
  ending: Ending = OK;

  #ownEnding(): Ending | undefined {
    if (this.#error?.type === "aborted") return { outcome: "aborted", errorType: "user_abort" };
    if (this.#error !== undefined) return { outcome: "error", errorType: this.#error.type };
    const last = [...this.#steps.values()].at(-1);
    if (last?.wasDenied) return { outcome: "error", errorType: "permission_denied" };
    return last?.problem === undefined ? undefined : { outcome: "error", errorType: last.problem };
  }

  /**
   * The turn is over when it has an assistant message, all of its assistant messages are complete, and the session is idle
   * or busy with a later prompt. Without any assistant message an error ends it, since OpenCode could not begin, or an abort
   * that was quicker than the prompt.
   * @param isFinal whether OpenCode has said, after it came to rest, that it is done
   */
  #endIfOver(atMs: number, isFinal: boolean): void {
    if (this.hasEnded || !this.#isAtRest) return;
    const steps = [...this.#steps.values()];
    if (steps.length === 0) {
      if (this.#error !== undefined || this.#isAbortAnswered) this.end(atMs);
      return;
    }
    if (!steps.every((step) => step.isCompleted)) return;
    // After an error it goes idle first, then ends what was open, and tells of the message once more. Behind a later prompt
    // a message that seems to be complete may have been told ahead of its parts.
    const isSure =
      isFinal || steps.every(({ info, isSettled }) => isSettled || (this.#isIdle && info.error === undefined));
    if (!isSure) return;
    const completedMs = Math.max(...steps.map(({ info }) => info.time.completed ?? 0));
    this.end(this.#isIdle ? atMs : Math.max(this.#supersededMs ?? 0, completedMs));
  }

  /** Whether an event says that the work on one of this run's messages is done, or that there is no work. */
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
    // An automatic compaction makes user messages of its own, and a child session's prompt is the agent's.
    if (!isOwn) this.#userMessages.set(id, { createdMs: time.created });
    this.#isAnnounced = true;
    this.#ensureBegun(agent);
  }

  #ensureBegun(agent = "agent"): void {
    const { log, parentId, sessionId, attributes } = this.#options;
    const first = [...this.#userMessages.entries()][0];
    if (first === undefined || log.isOpen(this.spanId)) return;
    const [messageId, { createdMs }] = first;
    log.begin(`invoke_agent ${agent}`, this.spanId, parentId, createdMs, {
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionId,
      "valet.opencode.message.id": messageId,
      ...attributes,
    });
    log.begin("valet.agent.prepare", this.#prepareSpanId, this.spanId, createdMs, {
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionId,
      "valet.opencode.message.id": messageId,
    });
  }

  #callAttributes(providerId: string): FactAttributes {
    const { model, sessionId } = this.#options;
    return {
      ...(providerId === OWN_PROVIDER && model.ownServer),
      "gen_ai.conversation.compacted": model.compacted.has(sessionId) || undefined,
    };
  }

  #assistantMessage(info: AssistantMessage): void {
    if (!this.#userMessages.has(info.parentID)) return;
    let step = this.#steps.get(info.id);
    if (step === undefined) {
      this.#ensureBegun(info.agent);
      // The agent goes on: what came before is over, and an error that it has survived is not how it ends.
      for (const earlier of this.#steps.values()) earlier.settle();
      this.#error = undefined;
      const compaction = this.#compactions.get(info.parentID);
      const context = compaction === undefined ? this.#context : { ...this.#context, parentId: compaction };
      step = new ModelStep(info, context);
      this.#steps.set(info.id, step);
      // OpenCode asks before it makes the call, once it has told of the message: too late for it to be allowed.
      if (this.#options.cutShort() !== undefined) step.refuseCall();
    }
    step.told(info);
  }

  #stepSettled({ info }: ModelStep, error: AgentErrorType | undefined): void {
    const completedMs = info.time.completed as number;
    if (info.error !== undefined) this.#error ??= this.#errorOf(info.error, completedMs);
    this.retry = undefined;
    const compaction = this.#compactions.get(info.parentID);
    if (compaction === undefined) return;
    const failed: Ending | undefined = error === undefined ? undefined : { outcome: "error", errorType: error };
    const ending = this.#options.cutShort() ?? failed ?? OK;
    this.#options.log.end(compaction, completedMs, ending);
    if (ending.outcome === "ok") this.#options.model.compacted.add(this.sessionId);
  }

  /** Before OpenCode has told of the prompt, errors may be of what went on in the session until then. */
  #sessionError(error: { type: AgentErrorType | "aborted"; atMs: number }): void {
    const newest = [...this.#steps.values()].at(-1);
    // Heard late: the agent has gone on since.
    if (newest !== undefined && error.atMs < newest.info.time.created) return;
    if (this.#isAnnounced) this.#error = error;
    else if (error.type !== "aborted" && error.atMs >= this.#options.sinceMs) this.#refusal ??= error.type;
  }

  #part({ properties: { part } }: AgentEventOf<"message.part.updated">, atMs: number): void {
    const user = this.#userMessages.get(part.messageID);
    if (user === undefined) this.#openStep(part.messageID)?.part(part, atMs);
    else if (part.type === "compaction") this.#beginCompaction(part.messageID, part.auto, user.createdMs);
  }

  #beginCompaction(messageId: string, auto: boolean, startMs: number): void {
    if (this.#compactions.has(messageId)) return;
    const { log, attemptId, sessionId } = this.#options;
    const spanId = deriveSpanId(attemptId, sessionId, messageId, "compaction");
    this.#compactions.set(messageId, spanId);
    log.begin("valet.compaction", spanId, this.spanId, startMs, {
      "valet.compaction.auto": auto,
      "gen_ai.agent.name": "compaction",
      "valet.opencode.session.id": sessionId,
      "valet.opencode.message.id": messageId,
    });
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
    // A status names no message: with none of this run's in work it is another turn's.
    const step = this.#workingStep();
    this.#isIdle = status.type === "idle";
    if (this.#isAnnounced && !this.#isIdle) this.#hasBegunWork = true;
    if (step === undefined) return;
    if (status.type === "busy") step.busy(atMs);
    else if (status.type === "retry") {
      this.retry = { error: step.retry(status, atMs), failures: status.attempt, nextMs: status.next };
    }
  }

  #providerCall(sinceMs: number): ProviderCall | undefined {
    return [...this.#providerCalls.values()].findLast(({ startedMs }) => startedMs >= sinceMs);
  }

  #errorOf(error: AgentError, atMs: number): { type: AgentErrorType | "aborted"; atMs: number } {
    const newest = [...this.#steps.values()].at(-1);
    const told = this.#providerCall(newest?.info.time.created ?? this.#options.sinceMs);
    return { type: isAbort(error) ? "aborted" : classifyError(error, told?.status), atMs };
  }
}
