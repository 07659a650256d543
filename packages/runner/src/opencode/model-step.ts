/**
 * One step of the agent, which in OpenCode is one assistant message: a model call, its retries, and the tools that the answer
 * calls.
 */
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import type { StartSource } from "@valet/shared/spans";
import { hasVisibleText } from "@valet/shared/visible-text";
import { type Answer, answerProblem, finishProblem } from "../agent/answer.ts";
import { type AgentErrorType, invitesFailover, type ProviderError } from "../agent/errors.ts";
import type { Ending, FactAttributes } from "../agent/facts.ts";
import { OK } from "../agent/facts.ts";
import { classifyError, classifyMessage, classifyStatus, isAbort } from "./agent-errors.ts";
import type { AssistantMessage, Part, SessionStatus, ToolPart } from "./events.ts";
import { ModelCall } from "./model-call.ts";
import type { ModelRequestEvent } from "./model-request.ts";
import type { StepContext } from "./step-context.ts";
import { StepTools } from "./step-tools.ts";
import { toolName } from "./tool-result.ts";
import { costAttributes, finishReason, priceAttributes, tokensToJudge, usageAttributes } from "./usage.ts";

export class ModelStep {
  readonly #context: StepContext;
  /** The last state of the message, which may be ahead of the events of its parts: OpenCode serialises late. */
  #info: AssistantMessage;
  /** The number of tries of the model in this step. */
  #attempts = 0;
  /** The number of model calls: one, unless OpenCode discards an answer that had ended. */
  #calls = 0;
  #call: ModelCall | undefined;
  readonly #tools: StepTools;
  #lastCallEndMs = 0;
  /** The try that each known part belongs to. The history repeats parts after a lost connection. */
  readonly #seen = new Map<string, number>();
  /** The model's answer, once it has ended. */
  #answer: Answer | undefined;
  /** Whether the step is over and its spans have ended. */
  isSettled = false;
  /** Whether the provider reported that the model has answered. */
  #hasAnswered = false;
  #isCallRefused = false;
  /** When the last request was permitted, epoch ms. OpenCode's event that begins the call may come later. */
  #requestMs: number | undefined;
  /** What the plugin has told of the last request. */
  #request: ModelRequestEvent["properties"] | undefined;
  /** When OpenCode said that it sends the first request, epoch ms, if its report was still to come then. */
  #heldMs: number | undefined;

  constructor(info: AssistantMessage, context: StepContext) {
    this.#info = info;
    this.#context = context;
    this.#tools = new StepTools(context);
  }

  get info(): AssistantMessage {
    return this.#info;
  }

  /** Whether OpenCode reported the message as complete. Events of its parts may still arrive. */
  get isCompleted(): boolean {
    return this.#info.time.completed !== undefined;
  }

  /** Whether a text or a tool call has not ended. */
  get hasOpenParts(): boolean {
    return this.#tools.areOpen || (this.#call?.current?.unfinished.size ?? 0) > 0;
  }

  /** The error of the model's answer, if it has one. */
  get problem(): AgentErrorType | undefined {
    return this.#answer === undefined ? finishProblem(this.#info.finish) : answerProblem(this.#answer);
  }

  /** The number of the model call that the next request belongs to: a retry belongs to the call that has not ended. */
  get nextCallPlace(): number {
    return this.#call === undefined ? this.#calls + 1 : this.#calls;
  }

  /** Updates the message. A complete message stays complete. */
  told(info: AssistantMessage): void {
    if (!this.isCompleted || info.time.completed !== undefined) this.#info = info;
    this.#settleIfDone();
  }

  /** Whether the step ended with a rejected tool call, after which OpenCode does not continue. */
  get wasDenied(): boolean {
    return this.#tools.wasDenied;
  }

  /** The span of a tool call of this step, if it has begun. */
  toolSpan(callId: string): string | undefined {
    return this.#tools.spanOf(callId);
  }

  /** Records that a request to the model is about to be sent. */
  recordRequest(atMs: number): void {
    this.#requestMs = atMs;
    this.#recordRequest();
  }

  /** When OpenCode said that it sends the request, if the call begins once that is reported; epoch ms. */
  get heldMs(): number | undefined {
    return this.#attempts === 0 && !this.isSettled && !this.#isCallRefused ? this.#heldMs : undefined;
  }

  /** Begins the call without a report, when OpenCode said that it sends the request. */
  beginHeldCall(): void {
    if (this.heldMs !== undefined) this.#beginCall(this.heldMs);
  }

  /** Handles the report that a request to the model was sent. It is exact, but may be late. A refused request is not reported. */
  requested(request: ModelRequestEvent["properties"]): void {
    if (this.isSettled) return;
    this.#request = request;
    this.#requestMs = request.atMs;
    const waitsSinceMs = this.#call?.waitsSinceMs;
    if (this.#attempts === 0) this.#beginCall(request.atMs, "hook");
    else if (waitsSinceMs !== undefined && request.atMs >= waitsSinceMs) this.#tryAgain(request.atMs);
    else this.#recordRequest();
  }

  /** Handles that the provider has answered. @param atMs when its answer began, epoch ms */
  answered(atMs: number): void {
    if (this.heldMs !== undefined && atMs >= this.heldMs) this.beginHeldCall();
  }

  /** Records that the provider has sent bytes, whatever they contain. */
  recordBytes(atMs: number): void {
    if (this.#call?.current !== undefined) this.#context.log.heard(this.#call.spanId, atMs, "byte");
  }

  /** Records a chunk of the current call's answer. */
  #chunk(atMs: number): void {
    if (this.#call?.current?.chunkAt(atMs)) this.#context.log.heard(this.#call.spanId, atMs, "first");
  }

  #recordRequest(): void {
    if (this.#call === undefined || this.#requestMs === undefined) return;
    this.#context.log.heard(this.#call.spanId, this.#requestMs, "request");
  }

  /** Records that the next request to the model was refused. */
  refuseCall(): void {
    this.#isCallRefused = true;
  }

  /** Handles a busy status while this step is open: OpenCode sends the first or another request to the model. */
  busy(atMs: number): void {
    if (this.isSettled || this.#isCallRefused) return;
    if (this.#call?.isWaiting) this.#tryAgain(atMs);
    else if (this.#attempts === 0) {
      // Valet's plugin will report the request in a moment, also if its permit is still on its way.
      this.#heldMs ??= atMs;
    }
  }

  #tryAgain(atMs: number): void {
    this.#attempts++;
    this.#call?.tryAgain(atMs);
  }

  retry({ message, next }: Extract<SessionStatus, { type: "retry" }>, atMs: number): ProviderError {
    const call = this.#call ?? this.#beginCall(this.#missedStartMs(atMs));
    const { status, httpStatus } = this.#context.providerCall(call.tryStartMs) ?? {};
    const hasRefused = status !== undefined && status >= 400;
    const error = hasRefused
      ? classifyStatus(status)
      : classifyMessage(message, call.current?.firstChunkMs !== undefined);
    const delayMs = Math.max(0, Math.round(next - atMs));
    call.tryFailed(atMs, error, delayMs, { status: httpStatus, message });
    return error;
  }

  /** @param atMs the time of the event, for parts without a time */
  part(part: Part, atMs: number): void {
    if (this.isSettled) return;
    const attempt = this.#seen.get(part.id);
    const isKnown = attempt !== undefined;
    // The output of an earlier try no longer counts.
    if (isKnown && attempt < this.#attempts && part.type !== "tool") return;
    if (part.type === "step-start") {
      if (!isKnown && this.#call === undefined) this.#beginMissedCall(atMs);
    } else if (part.type === "text" || part.type === "reasoning") {
      if (!isKnown) this.#beginMissedCall(atMs);
      this.#text(part, atMs);
    } else if (part.type === "tool") this.#tool(part, atMs);
    else if (part.type === "step-finish" && !isKnown) {
      this.#beginMissedCall(atMs);
      this.#stepFinish(part, atMs);
    }
    if (!isKnown) this.#seen.set(part.id, this.#attempts);
    this.providerTold();
    this.#settleIfDone();
  }

  /** Handles a chunk of a text. */
  delta(partId: string, piece: string, atMs: number): void {
    const current = this.#call?.current;
    if (this.#call === undefined || current === undefined) return;
    if (hasVisibleText(piece)) current.filled.add(partId);
    this.#chunk(atMs);
    current.contentUntil(atMs);
    this.#context.log.heard(this.#call.spanId, atMs);
  }

  /**
   * Handles news of the request to the provider. A call is over when its answer has ended with tool calls that have all begun.
   * OpenCode itself reports that only after the tools have ended.
   */
  providerTold(): void {
    const current = this.#call?.current;
    if (current === undefined || current.unfinished.size > 0 || !this.#tools.haveBegun) return;
    const told = this.#context.providerCall(current.startMs);
    // A provider with a known finish reason has reported its usage by then, or never does.
    if (told?.endedMs === undefined || !isToolCalls(told.finish)) return;
    this.#hasAnswered = true;
    this.#endCall(Math.max(told.endedMs, current.lastContentMs ?? 0), OK, {
      ...providerUsage(told),
      "gen_ai.response.finish_reasons": [finishReason("tool-calls")],
    });
  }

  /** Ends the step and its open spans, if the message is complete. */
  settle(): void {
    const { time, error } = this.#info;
    if (this.isSettled || time.completed === undefined) return;
    const told = this.#context.sessionError();
    const { status } = this.#context.providerCall(this.#call?.tryStartMs ?? this.#info.time.created) ?? {};
    const type = error === undefined || isAbort(error) ? told?.type : classifyError(error, status);
    this.close(time.completed, told?.atMs ?? time.completed, type);
    this.#context.settled(this.#info, type);
  }

  /** Ends the open spans. If a model call is open, it gets the error, and ends when the error occurred. */
  close(endMs: number, errorAtMs: number, error: AgentErrorType | undefined): void {
    if (this.isSettled) return;
    const { log } = this.#context;
    const cut = this.#context.cutShort();
    // If a request left before an abort, the plugin has reported it by now.
    if (cut?.outcome !== "aborted") this.beginHeldCall();
    this.isSettled = true;
    const failed: Ending | undefined = error === undefined ? undefined : { outcome: "error", errorType: error };
    const current = this.#call?.current;
    // With tool calls and no unfinished text the model has answered, whatever ended the tools.
    const hasAnswered = failed === undefined && current?.unfinished.size === 0 && this.#tools.haveBegun;
    if (hasAnswered && current.lastContentMs !== undefined) {
      this.#endCall(current.lastContentMs, OK, providerUsage(this.#context.providerCall(current.startMs)));
    } else {
      // A call that ends during a wait keeps the error of its last try, and lasts until now.
      this.#endCall(this.#call?.isWaiting ? endMs : Math.min(endMs, errorAtMs), cut ?? failed);
    }
    // A provider's error belongs to the call. Its tools only lost their caller.
    const outside = invitesFailover(cut?.errorType) ? undefined : cut;
    for (const spanId of this.#tools.spanIds) {
      log.end(spanId, endMs, outside ?? { outcome: "error", errorType: "tool_failed" });
    }
  }

  /** Ends the step if it is complete. A message that was reported as complete before its parts waits for them. */
  #settleIfDone(): void {
    if (this.isCompleted && this.#answer !== undefined && this.#call === undefined && !this.hasOpenParts) this.settle();
  }

  /** Begins a call whose beginning no event has reported, or not yet. */
  #beginMissedCall(atMs: number): void {
    if (this.#call?.isWaiting) this.busy(atMs);
    else if (this.#call === undefined && this.#answer === undefined && !this.#hasAnswered) {
      this.#beginCall(this.#missedStartMs(atMs));
    }
  }

  /** When a call began of which an event at `atMs` is the first. */
  #missedStartMs(atMs: number): number {
    return this.#attempts === 0 ? (this.#heldMs ?? this.#info.time.created) : atMs;
  }

  #beginCall(startMs: number, startSource: StartSource = "event"): ModelCall {
    const { log, attemptId, parentId, callAttributes } = this.#context;
    this.#attempts++;
    const start = Math.max(startMs, this.#lastCallEndMs);
    this.#context.callBegan(start);
    this.#call = new ModelCall({
      log,
      attemptId,
      parentId,
      info: this.#info,
      place: ++this.#calls,
      startMs: start,
      attributes: {
        ...callAttributes(this.#info.providerID),
        ...this.#request?.attributes,
        "valet.llm.start_source": startSource,
      },
    });
    this.#recordRequest();
    return this.#call;
  }

  #endCall(endMs: number, ending: Ending | undefined, attributes?: FactAttributes): void {
    if (this.#call === undefined) return;
    const told = this.#context.providerCall(this.#call.tryStartMs);
    const { attributes: settings, content } = this.#request ?? {};
    const known = { ...settings, ...priceAttributes(told?.prices), ...attributes };
    const { error } = this.#info;
    const message = isAbort(error) ? undefined : error?.data?.message;
    this.#call.end(endMs, ending, known, { status: told?.httpStatus, message, content });
    this.#call = undefined;
    this.#request = undefined;
    this.#lastCallEndMs = endMs;
  }

  #text(part: Extract<Part, { type: "text" | "reasoning" }>, atMs: number): void {
    const current = this.#call?.current;
    if (this.#call === undefined || current === undefined) return;
    const { start = atMs, end } = part.time ?? {};
    this.#chunk(start);
    this.#context.log.heard(this.#call.spanId, atMs);
    current.output.set(part.id, { type: part.type, content: part.text });
    if (hasVisibleText(part.text)) current.filled.add(part.id);
    if (end === undefined) current.unfinished.add(part.id);
    else {
      current.unfinished.delete(part.id);
      current.contentUntil(end);
    }
  }

  #tool(part: ToolPart, atMs: number): void {
    const { state, callID } = part;
    const call = this.#call;
    const current = call?.current;
    const isMore = this.#tools.spanOf(callID) !== undefined;
    if (!this.#tools.knows(callID)) this.#chunk(atMs);
    if (state.status === "pending") {
      if (call === undefined || current === undefined || isMore) return;
      this.#tools.announce(callID);
      current.unfinished.add(callID);
      this.#context.log.heard(call.spanId, atMs);
      return;
    }
    if (current !== undefined) {
      this.#chunk(state.time.start);
      current.unfinished.delete(callID);
      // The model had completed the call when the tool began.
      if (!isMore) {
        current.contentUntil(state.time.start);
        const [name, input] = [toolName(part), state.input];
        current.output.set(`call ${callID}`, { type: "tool_call", id: callID, name, arguments: input });
      }
    }
    this.#tools.told(this.#info, part, state, atMs);
  }

  #stepFinish(part: Extract<Part, { type: "step-finish" }>, atMs: number): void {
    const current = this.#call?.current;
    const has = (type: "text" | "reasoning") =>
      [...(current?.output ?? [])].some(([id, output]) => output.type === type && current?.filled.has(id));
    const hasToolCall = this.#tools.haveBegun || this.#tools.areOpen;
    const answer: Answer = {
      finish: part.reason,
      hasText: has("text"),
      hasReasoning: has("reasoning"),
      hasToolCall,
    };
    this.#answer = answer;
    const problem = answerProblem(answer);
    const ending: Ending = problem === undefined ? OK : { outcome: "error", errorType: problem };
    const hasContent = answer.hasText || answer.hasReasoning || hasToolCall;
    if (current === undefined) {
      this.#context.answered(answer);
      return;
    }
    const told = this.#context.providerCall(current.startMs);
    const tokens = tokensToJudge(part.tokens, told?.tokens);
    // The step ends with its tools, but the model finished with its last text or call.
    this.#endCall(current.lastContentMs ?? atMs, ending, {
      ...usageAttributes(tokens, hasContent),
      ...costAttributes(tokens, part.cost, told?.unpriced),
      "gen_ai.response.finish_reasons": [finishReason(part.reason)],
    });
    this.#context.answered(answer);
  }
}

/** Returns whether a provider's finish reason means tool calls. */
const isToolCalls = (finish: string | undefined) => /^(?:tool_calls|tool_use|function_call)$/.test(finish ?? "");

/** Returns the usage that a provider reported for a call and that OpenCode has not. */
function providerUsage(told: ProviderCall | undefined) {
  if (told?.tokens === undefined) return {};
  return { ...usageAttributes(told.tokens, true), ...costAttributes(told.tokens, told.costUsd ?? 0, told.unpriced) };
}
