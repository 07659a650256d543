/**
 * One step of the agent, which in OpenCode is one assistant message: a call of the model, its retries, and the tools that
 * the answer asks for.
 */

import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import {
  type AgentErrorType,
  classifyError,
  classifyMessage,
  classifyStatus,
  invitesFailover,
  isAbort,
  type ProviderError,
} from "./agent-errors.ts";
import { type Answer, answerProblem, finishProblem } from "./answer.ts";
import type { AssistantMessage, Part, SessionStatus, ToolPart } from "./events.ts";
import type { Ending, FactLog } from "./facts.ts";
import { OK } from "./facts.ts";
import { deriveSpanId, toolSpanId } from "./ids.ts";
import type { EndedToolCall } from "./loop-guard.ts";
import { isRefused, toolName, toolProblem } from "./tool-result.ts";
import { providerAttributes, readCost, usageAttributes } from "./usage.ts";

/** What a step shares with the run it belongs to. */
export interface StepContext {
  readonly log: FactLog;
  /** First part of every derived id. */
  readonly attemptId: string;
  readonly parentId: string;
  /** How what is cut short now ends: by an abort, a watchdog, a death. */
  cutShort(): Ending | undefined;
  /** Begins the waits that were asked for before their tool began. */
  toolBegan(callKey: string, toolSpanId: string, startMs: number): void;
  /** Whether leave for this call was refused. */
  wasDenied(callKey: string): boolean;
  /** The session's last error while this step was in work; its type is absent where it was an abort. */
  sessionError(): { readonly type: AgentErrorType | undefined; readonly atMs: number } | undefined;
  /** A step is over for good. `error` is what it failed with. */
  settled(step: ModelStep, error: AgentErrorType | undefined): void;
  callBegan(startMs: number): void;
  /** What is known of the last request to a provider that was answered since then. */
  providerCall(sinceMs: number): ProviderCall | undefined;
  answered(answer: Answer): void;
  toolEnded(call: EndedToolCall): void;
}

interface ModelCall {
  readonly spanId: string;
  readonly startMs: number;
  firstChunkMs: number | undefined;
  lastContentMs: number | undefined;
  /** Texts and tool calls whose end has not been seen. */
  readonly unfinished: Set<string>;
  readonly output: Map<string, { type: "text" | "reasoning"; content: string }>;
  /** Texts of which a piece has come that is more than blank. */
  readonly filled: Set<string>;
}

/** A tool call within its OpenCode session. */
export const callKey = (messageId: string, callId: string) => `${messageId} ${callId}`;

export class ModelStep {
  readonly #context: StepContext;
  /** As it was told last, which may be ahead of what its parts have told so far: OpenCode serialises late. */
  #info: AssistantMessage;
  /** How many times the model was called for this step. */
  #attempts = 0;
  #call: ModelCall | undefined;
  #retryWaitId: string | undefined;
  readonly #tools = new Map<string, string>();
  /** Tool calls that have no result yet. */
  readonly #openTools = new Set<string>();
  #lastCallEndMs = 0;
  /** Parts that were taken already, by the attempt that they are of: the history gives them again after a lost connection. */
  readonly #seen = new Map<string, number>();
  /** The model's answer, once it has ended. */
  #answer: Answer | undefined;
  /** Nothing more comes of it: what it left open is ended. */
  isSettled = false;
  /** Whether the model has answered, by the provider's own word. */
  #hasAnswered = false;
  /** Whether it ended with a tool call that was refused: OpenCode goes no further then. */
  wasDenied = false;

  constructor(info: AssistantMessage, context: StepContext) {
    this.#info = info;
    this.#context = context;
  }

  get info(): AssistantMessage {
    return this.#info;
  }

  /** Whether OpenCode has said that the message is complete. Parts that were told of earlier may still be on their way. */
  get isCompleted(): boolean {
    return this.#info.time.completed !== undefined;
  }

  /** Whether a text or a tool call of it has an end to come. */
  get hasOpenParts(): boolean {
    return this.#openTools.size > 0 || (this.#call?.unfinished.size ?? 0) > 0;
  }

  /** What is wrong with the model's answer, if something is. */
  get problem(): AgentErrorType | undefined {
    return this.#answer === undefined ? finishProblem(this.#info.finish) : answerProblem(this.#answer);
  }

  /** The message as it is told now; one that was complete stays so. */
  told(info: AssistantMessage): void {
    if (!this.isCompleted || info.time.completed !== undefined) this.#info = info;
    this.#settleIfDone();
  }

  /** The span of a tool call of this step, if it has begun. */
  toolSpan(callId: string): string | undefined {
    return this.#tools.get(callId);
  }

  /** A busy status while this step is open: the request to the model goes out now, for the first time or again. */
  busy(atMs: number): void {
    if (this.isSettled) return;
    if (this.#retryWaitId !== undefined) {
      this.#context.log.end(this.#retryWaitId, atMs, OK);
      this.#retryWaitId = undefined;
      this.#beginCall(atMs);
    } else if (this.#attempts === 0) {
      this.#beginCall(atMs);
    }
  }

  retry({ attempt, message, next }: Extract<SessionStatus, { type: "retry" }>, atMs: number): ProviderError {
    const call = this.#call;
    const { status } = (call && this.#context.providerCall(call.startMs)) ?? {};
    const isRefused = status !== undefined && status >= 400;
    const error = isRefused ? classifyStatus(status) : classifyMessage(message, call?.firstChunkMs !== undefined);
    if (this.#retryWaitId !== undefined) return error;
    if (call !== undefined) this.#endCall(atMs, { outcome: "error", errorType: error });
    const { log, attemptId, parentId } = this.#context;
    const { id, sessionID, modelID } = this.#info;
    this.#retryWaitId = deriveSpanId(attemptId, sessionID, id, "retry", attempt);
    log.begin("valet.retry.wait", this.#retryWaitId, parentId, atMs, {
      "valet.llm.attempt": this.#attempts + 1,
      "valet.retry.delay_ms": Math.max(0, Math.round(next - atMs)),
      "gen_ai.request.model": modelID,
    });
    return error;
  }

  /** @param atMs when the part was told, for parts that hold no time */
  part(part: Part, atMs: number): void {
    if (this.isSettled) return;
    const attempt = this.#seen.get(part.id);
    const isKnown = attempt !== undefined;
    // What an earlier try has said is over with it.
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

  /** A piece of a text: it comes between the text's beginning and its end. */
  delta(partId: string, piece: string, atMs: number): void {
    if (this.#call === undefined) return;
    if (piece.trim() !== "") this.#call.filled.add(partId);
    this.#call.firstChunkMs = earlier(this.#call.firstChunkMs, atMs);
    this.#call.lastContentMs = later(this.#call.lastContentMs, atMs);
    this.#context.log.heard(this.#call.spanId, atMs);
  }

  /**
   * The provider has told something of the call. One whose answer has ended with tool calls that are all at work is over:
   * OpenCode itself says so when they have ended.
   */
  providerTold(): void {
    const call = this.#call;
    if (call === undefined || call.unfinished.size > 0 || this.#tools.size === 0) return;
    const told = this.#context.providerCall(call.startMs);
    // Whose finish reason is understood has told its usage by then, or tells none.
    if (told?.endedMs === undefined || !isToolCalls(told.finish)) return;
    this.#hasAnswered = true;
    this.#endCall(Math.max(told.endedMs, call.lastContentMs ?? 0), OK, {
      ...providerUsage(told),
      "gen_ai.response.finish_reasons": ["tool-calls"],
    });
  }

  /** The message is complete and nothing more comes of it: whatever it left open ends with it. */
  settle(): void {
    const { time, error } = this.#info;
    if (this.isSettled || time.completed === undefined) return;
    const told = this.#context.sessionError();
    const type = error === undefined || isAbort(error) ? told?.type : classifyError(error);
    this.close(time.completed, told?.atMs ?? time.completed, type);
    this.#context.settled(this, type);
  }

  /** Ends what is open. An error is the model call's if one is open; then it was over when the error came. */
  close(endMs: number, errorAtMs: number, error: AgentErrorType | undefined): void {
    if (this.isSettled) return;
    this.isSettled = true;
    const { log } = this.#context;
    const cut = this.#context.cutShort();
    const failed: Ending | undefined = error === undefined ? undefined : { outcome: "error", errorType: error };
    const call = this.#call;
    if (call !== undefined) {
      // With tools at work and no text unfinished the model has had its say, whatever ended the tools.
      const hasAnswered = failed === undefined && call.unfinished.size === 0 && this.#tools.size > 0;
      const told = this.#context.providerCall(call.startMs);
      if (hasAnswered && call.lastContentMs !== undefined) this.#endCall(call.lastContentMs, OK, providerUsage(told));
      else this.#endCall(Math.min(endMs, errorAtMs), cut ?? failed ?? OK);
    }
    // A wait that was given up was in vain: the provider's error is its own, too.
    if (this.#retryWaitId !== undefined) log.end(this.#retryWaitId, endMs, cut ?? failed ?? OK);
    this.#retryWaitId = undefined;
    // What the provider did is the call's error: a tool lost who had asked for it.
    const outside = invitesFailover(cut?.errorType) ? undefined : cut;
    for (const spanId of this.#tools.values()) {
      log.end(spanId, endMs, outside ?? { outcome: "error", errorType: "tool_failed" });
    }
  }

  /** OpenCode says that a message is complete after all of its parts; said earlier, it waits for them. */
  #settleIfDone(): void {
    if (this.isCompleted && this.#answer !== undefined && this.#call === undefined && !this.hasOpenParts) this.settle();
  }

  /** A call whose beginning was not told, or not yet. */
  #beginMissedCall(atMs: number): void {
    if (this.#call !== undefined || this.#answer !== undefined || this.#hasAnswered) return;
    if (this.#retryWaitId !== undefined) this.busy(atMs);
    else this.#beginCall(this.#attempts === 0 ? this.#info.time.created : atMs);
  }

  #beginCall(startMs: number): void {
    const { log, attemptId, parentId } = this.#context;
    const { id, sessionID, agent, providerID, modelID } = this.#info;
    this.#attempts++;
    const spanId = deriveSpanId(attemptId, sessionID, id, "chat", this.#attempts);
    const start = Math.max(startMs, this.#lastCallEndMs);
    this.#call = {
      ...{ spanId, startMs: start, firstChunkMs: undefined, lastContentMs: undefined },
      ...{ unfinished: new Set(), output: new Map(), filled: new Set() },
    };
    this.#context.callBegan(start);
    log.begin(`chat ${modelID}`, spanId, parentId, start, {
      "gen_ai.operation.name": "chat",
      ...providerAttributes(providerID),
      "gen_ai.request.model": modelID,
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionID,
      "valet.opencode.message.id": id,
      "valet.llm.attempt": this.#attempts,
      // OpenCode says it is busy some 10 to 40 ms before the request leaves.
      "valet.llm.start_source": "event",
    });
  }

  #endCall(endMs: number, ending: Ending, attributes: Parameters<FactLog["end"]>[3] = {}): void {
    const call = this.#call;
    if (call === undefined) return;
    this.#call = undefined;
    this.#lastCallEndMs = endMs;
    const firstChunk =
      call.firstChunkMs === undefined
        ? {}
        : { "gen_ai.response.time_to_first_chunk": Math.max(0, call.firstChunkMs - call.startMs) / 1000 };
    this.#context.log.end(
      call.spanId,
      endMs,
      ending,
      { ...firstChunk, ...attributes },
      { "gen_ai.output.messages": [...call.output.values()] },
    );
  }

  #text(part: Extract<Part, { type: "text" | "reasoning" }>, atMs: number): void {
    const call = this.#call;
    if (call === undefined) return;
    const { start = atMs, end } = part.time ?? {};
    call.firstChunkMs = earlier(call.firstChunkMs, start);
    this.#context.log.heard(call.spanId, atMs);
    call.output.set(part.id, { type: part.type, content: part.text });
    if (part.text.trim() !== "") call.filled.add(part.id);
    if (end === undefined) call.unfinished.add(part.id);
    else {
      call.unfinished.delete(part.id);
      call.lastContentMs = later(call.lastContentMs, end);
    }
  }

  #tool(part: ToolPart, atMs: number): void {
    const { state, callID } = part;
    const call = this.#call;
    const isNew = !this.#tools.has(callID) && !this.#openTools.has(callID);
    if (call !== undefined && isNew) call.firstChunkMs = earlier(call.firstChunkMs, atMs);
    if (state.status === "pending") {
      if (call === undefined || this.#tools.has(callID)) return;
      this.#openTools.add(callID);
      call.unfinished.add(callID);
      this.#context.log.heard(call.spanId, atMs);
      return;
    }
    if (call !== undefined) {
      call.firstChunkMs = earlier(call.firstChunkMs, state.time.start);
      call.unfinished.delete(callID);
      // The model had told the whole call when the tool began.
      if (!this.#tools.has(callID)) call.lastContentMs = later(call.lastContentMs, state.time.start);
    }
    const isMore = this.#tools.has(callID);
    const isOver = state.status === "completed" || state.status === "error";
    if (isOver) this.#openTools.delete(callID);
    else this.#openTools.add(callID);
    this.#beginTool(part, state.time.start);
    // OpenCode tells of a running tool again when its command has written something.
    if (isMore) this.#context.log.heard(this.#tools.get(callID) as string, atMs);
    if (isOver) this.#endTool(part, state);
  }

  #beginTool(part: ToolPart, startMs: number): void {
    const { callID, state } = part;
    if (this.#tools.has(callID)) return;
    const { log, attemptId, parentId } = this.#context;
    const { id, sessionID, agent } = this.#info;
    const spanId = toolSpanId(attemptId, sessionID, id, callID);
    this.#tools.set(callID, spanId);
    const name = toolName(part);
    log.begin(`execute_tool ${name}`, spanId, parentId, startMs, {
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": name,
      "gen_ai.tool.call.id": callID,
      "gen_ai.tool.type": "function",
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionID,
      "valet.opencode.message.id": id,
      "valet.tool.input_length": state.status === "pending" ? undefined : JSON.stringify(state.input).length,
    });
    this.#context.toolBegan(callKey(id, callID), spanId, startMs);
  }

  #endTool(part: ToolPart, state: Extract<ToolPart["state"], { status: "completed" | "error" }>): void {
    const { callID, tool } = part;
    const spanId = this.#tools.get(callID) as string;
    const { log, cutShort, wasDenied, toolEnded } = this.#context;
    if (!log.isOpen(spanId)) return;
    const output = state.status === "completed" ? state.output : state.error;
    // The event that tells of the refusal may have been lost.
    const denied = wasDenied(callKey(this.#info.id, callID)) || isRefused(part);
    if (denied) this.wasDenied = true;
    const problem = denied && state.status === "error" ? "permission_denied" : toolProblem(part);
    const failed: Ending | undefined = problem === undefined ? undefined : { outcome: "error", errorType: problem };
    log.end(
      spanId,
      state.time.end,
      cutShort() ?? failed ?? OK,
      { "valet.tool.output_length": output.length, "process.exit.code": state.metadata?.exit ?? undefined },
      { "gen_ai.tool.call.arguments": state.input, "gen_ai.tool.call.result": output },
    );
    toolEnded({ tool, input: state.input, output });
  }

  #stepFinish(part: Extract<Part, { type: "step-finish" }>, atMs: number): void {
    const call = this.#call;
    const has = (type: "text" | "reasoning") =>
      [...(call?.output ?? [])].some(([id, output]) => output.type === type && call?.filled.has(id));
    const hasToolCall = this.#tools.size > 0 || this.#openTools.size > 0;
    const answer: Answer = {
      ...{ finish: part.reason, hasText: has("text"), hasReasoning: has("reasoning"), hasToolCall },
    };
    this.#answer = answer;
    const problem = answerProblem(answer);
    const ending: Ending = problem === undefined ? OK : { outcome: "error", errorType: problem };
    const hasContent = answer.hasText || answer.hasReasoning || hasToolCall;
    if (call === undefined) {
      this.#context.answered(answer);
      return;
    }
    // The step's end is that of its tools; the model had finished with its last text or call.
    this.#endCall(call?.lastContentMs ?? atMs, ending, {
      ...usageAttributes(part.tokens, hasContent),
      "valet.llm.cost_usd": readCost(part.tokens, part.cost),
      "gen_ai.response.finish_reasons": [part.reason],
    });
    this.#context.answered(answer);
  }
}

const earlier = (a: number | undefined, b: number) => (a === undefined ? b : Math.min(a, b));
const later = (a: number | undefined, b: number) => (a === undefined ? b : Math.max(a, b));

/** Whether a provider's own word says that the answer ended so that tools be called. */
const isToolCalls = (finish: string | undefined) => /^(?:tool_calls|tool_use|function_call)$/.test(finish ?? "");

/** What a provider has said of a call, of which OpenCode has not. */
function providerUsage(told: ProviderCall | undefined) {
  if (told?.tokens === undefined) return {};
  return { ...usageAttributes(told.tokens, true), "valet.llm.cost_usd": readCost(told.tokens, told.costUsd ?? 0) };
}
