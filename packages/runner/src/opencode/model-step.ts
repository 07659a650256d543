/**
 * One step of the agent, which in OpenCode is one assistant message: a call of the model, its retries, and the tools that
 * the answer asks for.
 */
import { type AgentErrorType, classifyMessage, invitesFailover, type ProviderError } from "./agent-errors.ts";
import type { AssistantMessage, Part, SessionStatus, ToolPart } from "./events.ts";
import type { Ending, FactLog } from "./facts.ts";
import { OK } from "./facts.ts";
import { deriveSpanId, toolSpanId } from "./ids.ts";
import { providerAttributes, usageAttributes } from "./usage.ts";

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
}

interface ModelCall {
  readonly spanId: string;
  readonly startMs: number;
  firstChunkMs?: number;
  lastContentMs?: number;
  /** Texts and tool calls whose end has not been seen. */
  readonly unfinished: Set<string>;
  readonly output: Map<string, { type: "text" | "reasoning"; content: string }>;
}

/** A tool call within its OpenCode session. */
export const callKey = (messageId: string, callId: string) => `${messageId} ${callId}`;

/** Finish reasons that make an answer useless; others are how an answer ends. */
export const BAD_FINISH: ReadonlyMap<string, ProviderError> = new Map([
  ["length", "output_limit"],
  ["content-filter", "content_filtered"],
]);

export class ModelStep {
  readonly info: AssistantMessage;
  readonly #context: StepContext;
  /** How many times the model was called for this step. */
  #attempts = 0;
  #call: ModelCall | undefined;
  #retryWaitId: string | undefined;
  readonly #tools = new Map<string, string>();
  #lastCallEndMs = 0;
  /** Step parts that were taken already: the history gives them again after a lost connection. */
  readonly #seen = new Set<string>();
  isCompleted = false;
  finish: string | undefined;
  /** Whether it ended with a tool call that was refused: OpenCode goes no further then. */
  wasDenied = false;

  constructor(info: AssistantMessage, context: StepContext) {
    this.info = info;
    this.#context = context;
  }

  /** The span of a tool call of this step, if it has begun. */
  toolSpan(callId: string): string | undefined {
    return this.#tools.get(callId);
  }

  /** A busy status while this step is open: the request to the model goes out now, for the first time or again. */
  busy(atMs: number): void {
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
    const error = classifyMessage(message, call?.firstChunkMs !== undefined);
    if (this.#retryWaitId !== undefined) return error;
    if (call !== undefined) this.#endCall(atMs, { outcome: "error", errorType: error });
    const { log, attemptId, parentId } = this.#context;
    const { id, sessionID, modelID } = this.info;
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
    if (part.type === "step-start" || part.type === "step-finish") {
      if (this.#seen.has(part.id)) return;
      this.#seen.add(part.id);
    }
    if (part.type === "step-start") {
      if (this.#call === undefined) this.#beginCall(this.#attempts === 0 ? this.info.time.created : atMs);
    } else if (part.type === "text" || part.type === "reasoning") this.#text(part, atMs);
    else if (part.type === "tool") this.#tool(part, atMs);
    else if (part.type === "step-finish") this.#stepFinish(part, atMs);
  }

  /** A piece of a text. Which text does not matter: a delta comes between its beginning and its end. */
  delta(atMs: number): void {
    if (this.#call === undefined) return;
    this.#call.firstChunkMs ??= atMs;
    this.#call.lastContentMs = Math.max(this.#call.lastContentMs ?? 0, atMs);
    this.#context.log.heard(this.#call.spanId, atMs);
  }

  /** The message is complete: whatever it left open ends with it. */
  complete(info: AssistantMessage, error: AgentErrorType | undefined, errorAtMs: number | undefined): void {
    const endMs = info.time.completed;
    if (this.isCompleted || endMs === undefined) return;
    this.isCompleted = true;
    this.finish = info.finish;
    this.close(endMs, errorAtMs ?? endMs, error);
  }

  /** Ends what is open. An error is the model call's if one is open; then it was over when the error came. */
  close(endMs: number, errorAtMs: number, error: AgentErrorType | undefined): void {
    const { log } = this.#context;
    const cut = this.#context.cutShort();
    const failed: Ending | undefined = error === undefined ? undefined : { outcome: "error", errorType: error };
    const call = this.#call;
    if (call !== undefined) {
      // With tools at work and no text unfinished the model has had its say, whatever ended the tools.
      const hasAnswered = call.unfinished.size === 0 && this.#tools.size > 0 && call.lastContentMs !== undefined;
      if (hasAnswered) this.#endCall(call.lastContentMs as number, OK);
      else this.#endCall(Math.min(endMs, errorAtMs), cut ?? failed ?? OK);
    }
    // What the provider did is the call's error: a wait for it was only given up, and a tool lost who had asked for it.
    const outside = invitesFailover(cut?.errorType) ? undefined : cut;
    if (this.#retryWaitId !== undefined) log.end(this.#retryWaitId, endMs, outside ?? OK);
    this.#retryWaitId = undefined;
    for (const spanId of this.#tools.values()) {
      log.end(spanId, endMs, outside ?? { outcome: "error", errorType: "tool_failed" });
    }
  }

  #beginCall(startMs: number): void {
    const { log, attemptId, parentId } = this.#context;
    const { id, sessionID, agent, providerID, modelID } = this.info;
    this.#attempts++;
    const spanId = deriveSpanId(attemptId, sessionID, id, "chat", this.#attempts);
    const start = Math.max(startMs, this.#lastCallEndMs);
    this.#call = { spanId, startMs: start, unfinished: new Set(), output: new Map() };
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
    call.firstChunkMs ??= start;
    this.#context.log.heard(call.spanId, atMs);
    call.output.set(part.id, { type: part.type, content: part.text });
    if (end === undefined) call.unfinished.add(part.id);
    else {
      call.unfinished.delete(part.id);
      call.lastContentMs = Math.max(call.lastContentMs ?? 0, end);
    }
  }

  #tool(part: ToolPart, atMs: number): void {
    const { state, callID } = part;
    const call = this.#call;
    if (state.status === "pending") {
      if (call === undefined || this.#tools.has(callID)) return;
      call.firstChunkMs ??= atMs;
      call.unfinished.add(callID);
      this.#context.log.heard(call.spanId, atMs);
      return;
    }
    if (call !== undefined) {
      call.firstChunkMs ??= state.time.start;
      call.unfinished.delete(callID);
      // The model had told the whole call when the tool began.
      if (!this.#tools.has(callID)) call.lastContentMs = Math.max(call.lastContentMs ?? 0, state.time.start);
    }
    const isMore = this.#tools.has(callID);
    this.#beginTool(part, state.time.start);
    // OpenCode tells of a running tool again when its command has written something.
    if (isMore) this.#context.log.heard(this.#tools.get(callID) as string, atMs);
    if (state.status === "completed" || state.status === "error") this.#endTool(part, state);
  }

  #beginTool({ tool, callID, state }: ToolPart, startMs: number): void {
    if (this.#tools.has(callID)) return;
    const { log, attemptId, parentId } = this.#context;
    const { id, sessionID, agent } = this.info;
    const spanId = toolSpanId(attemptId, sessionID, id, callID);
    this.#tools.set(callID, spanId);
    log.begin(`execute_tool ${tool}`, spanId, parentId, startMs, {
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": tool,
      "gen_ai.tool.call.id": callID,
      "gen_ai.tool.type": "function",
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionID,
      "valet.opencode.message.id": id,
      "valet.tool.input_length": state.status === "pending" ? undefined : JSON.stringify(state.input).length,
    });
    this.#context.toolBegan(callKey(id, callID), spanId, startMs);
  }

  #endTool({ callID }: ToolPart, state: Extract<ToolPart["state"], { status: "completed" | "error" }>): void {
    const spanId = this.#tools.get(callID) as string;
    const output = state.status === "completed" ? state.output : state.error;
    const denied = this.#context.wasDenied(callKey(this.info.id, callID));
    if (denied) this.wasDenied = true;
    let ending = this.#context.cutShort() ?? OK;
    if (ending === OK && state.status === "error") {
      ending = { outcome: "error", errorType: denied ? "permission_denied" : "tool_failed" };
    }
    this.#context.log.end(
      spanId,
      state.time.end,
      ending,
      { "valet.tool.output_length": output.length, "process.exit.code": state.metadata?.exit ?? undefined },
      { "gen_ai.tool.call.arguments": state.input, "gen_ai.tool.call.result": output },
    );
  }

  #stepFinish(part: Extract<Part, { type: "step-finish" }>, atMs: number): void {
    const bad = BAD_FINISH.get(part.reason);
    const ending: Ending = bad === undefined ? OK : { outcome: "error", errorType: bad };
    // The step's end is that of its tools; the model had finished with its last text or call.
    this.#endCall(this.#call?.lastContentMs ?? atMs, ending, {
      ...usageAttributes(part.tokens),
      // OpenCode says 0 where it knows no price.
      "valet.llm.cost_usd": part.cost > 0 ? part.cost : undefined,
      "gen_ai.response.finish_reasons": [part.reason],
    });
  }
}
