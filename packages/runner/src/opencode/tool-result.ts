/** Finds failures of tool calls, including those that OpenCode reports as successes. Pure. */
import type { ToolPart } from "./events.ts";

/** The tool that OpenCode calls instead if a call is invalid: an unknown tool, or arguments that are not JSON. */
const INVALID = "invalid";
/** Other names, which the model can choose freely, could contain content or be different for each call. */
const NAME = /^[\w.:-]{1,64}$/;
/** The text that OpenCode's shell tool appends if its own time limit ended the command. */
const TIMED_OUT = /<shell_metadata>\s[^<]*\bterminated command after exceeding timeout\b/;
/** The text is at the end; everything before it is the command's output. */
const TAIL_LENGTH = 1_000;

/** The errors of OpenCode 1.18.33 for a call that a person rejected without a reason, or whose questions a person declined. */
const REFUSALS: ReadonlySet<string> = new Set([
  "The user rejected permission to use this specific tool call.",
  "The user dismissed this question",
]);

/** Returns how OpenCode 1.18.33 begins its error for a call whose arguments are JSON, but not those of the tool. */
const invalidArguments = (tool: string) => `The ${tool} tool was called with invalid arguments: `;

/** Returns whether OpenCode's error means that a person rejected the call, after which OpenCode does not continue. */
export function isRefused({ state }: ToolPart): boolean {
  return state.status === "error" && REFUSALS.has(state.error);
}

/** Returns the name of the tool that the model called. */
export function toolName({ tool, state }: ToolPart): string {
  if (tool !== INVALID || state.status === "pending") return tool;
  const { tool: called } = state.input;
  return typeof called === "string" && NAME.test(called) ? called : tool;
}

/** Returns the error type of an ended call; `undefined` for a success. */
export function toolProblem({
  tool,
  state,
}: ToolPart): "tool_failed" | "tool_call_invalid" | "tool_timeout" | undefined {
  if (state.status === "error") {
    return state.error.startsWith(invalidArguments(tool)) ? "tool_call_invalid" : "tool_failed";
  }
  if (tool === INVALID) return "tool_call_invalid";
  if (state.status !== "completed" || typeof state.metadata?.exit === "number") return undefined;
  return TIMED_OUT.test(state.output.slice(-TAIL_LENGTH)) ? "tool_timeout" : undefined;
}
