/** The tool calls of one step of the agent, and their spans. */
import { type Ending, OK } from "../agent/facts.ts";
import { toolSpanId } from "../agent/span-ids.ts";
import type { AssistantMessage, ToolPart } from "./events.ts";
import { callKey, type StepContext } from "./step-context.ts";
import { ownLimitMs } from "./tool-limits.ts";
import { isRefused, toolName, toolProblem } from "./tool-result.ts";

/** A state of a tool call that the tool has begun. */
type BegunState = Exclude<ToolPart["state"], { status: "pending" }>;

export class StepTools {
  readonly #context: StepContext;
  /** Of each call that has begun, by the model's id of the call. */
  readonly #spanIds = new Map<string, string>();
  /** Tool calls that have no result yet. */
  readonly #open = new Set<string>();
  /** Whether the step ended with a rejected tool call, after which OpenCode does not continue. */
  wasDenied = false;

  constructor(context: StepContext) {
    this.#context = context;
  }

  get haveBegun(): boolean {
    return this.#spanIds.size > 0;
  }

  get areOpen(): boolean {
    return this.#open.size > 0;
  }

  get spanIds(): Iterable<string> {
    return this.#spanIds.values();
  }

  /** The span of a tool call, if it has begun. */
  spanOf(callId: string): string | undefined {
    return this.#spanIds.get(callId);
  }

  /** Whether the call was announced, or has begun. */
  knows(callId: string): boolean {
    return this.#spanIds.has(callId) || this.#open.has(callId);
  }

  /** Records a call that the model is still writing. */
  announce(callId: string): void {
    this.#open.add(callId);
  }

  /** Records the state of a call of the message: begins its span, and ends it if the tool has ended. */
  told(info: AssistantMessage, part: ToolPart, state: BegunState, atMs: number): void {
    const { callID } = part;
    const isMore = this.#spanIds.has(callID);
    const isOver = state.status === "completed" || state.status === "error";
    if (isOver) this.#open.delete(callID);
    else this.#open.add(callID);
    this.#begin(info, part, state);
    // OpenCode sends a running tool again for each piece of its output, but also for a title, or to say that there is none yet.
    if (isMore && state.metadata?.output) this.#context.log.heard(this.#spanIds.get(callID) as string, atMs);
    if (isOver) this.#end(info, part, state);
  }

  #begin({ id, sessionID, agent }: AssistantMessage, part: ToolPart, state: BegunState): void {
    const { callID } = part;
    if (this.#spanIds.has(callID)) return;
    const { log, attemptId, parentId } = this.#context;
    const spanId = toolSpanId(attemptId, sessionID, id, callID);
    this.#spanIds.set(callID, spanId);
    const name = toolName(part);
    const timeoutMs = ownLimitMs(part.tool, state.input);
    log.begin(`execute_tool ${name}`, spanId, parentId, state.time.start, {
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": name,
      "gen_ai.tool.call.id": callID,
      "gen_ai.tool.type": "function",
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionID,
      "valet.opencode.message.id": id,
      "valet.tool.input_length": JSON.stringify(state.input).length,
      "valet.tool.timeout_ms": timeoutMs === undefined ? undefined : Math.round(timeoutMs),
    });
    this.#context.toolBegan(callKey(id, callID), spanId, state.time.start);
  }

  #end({ id }: AssistantMessage, part: ToolPart, state: Extract<BegunState, { status: "completed" | "error" }>): void {
    const { callID, tool } = part;
    const spanId = this.#spanIds.get(callID) as string;
    const { log, cutShort, wasDenied, toolEnded } = this.#context;
    if (!log.isOpen(spanId)) return;
    const output = state.status === "completed" ? state.output : state.error;
    // The event of the rejection may have been lost.
    const denied = wasDenied(callKey(id, callID)) || isRefused(part);
    if (denied) this.wasDenied = true;
    const problem = denied && state.status === "error" ? "permission_denied" : toolProblem(part);
    const failed: Ending | undefined = problem === undefined ? undefined : { outcome: "error", errorType: problem };
    const ending = cutShort() ?? failed ?? OK;
    const hasResult = state.status === "completed" && ending.outcome === "ok";
    log.end(
      spanId,
      state.time.end,
      ending,
      { "valet.tool.output_length": output.length, "process.exit.code": state.metadata?.exit ?? undefined },
      { "gen_ai.tool.call.arguments": state.input, "gen_ai.tool.call.result": hasResult ? output : undefined },
      problem === undefined ? undefined : output,
    );
    toolEnded({ tool, input: state.input, output });
  }
}
