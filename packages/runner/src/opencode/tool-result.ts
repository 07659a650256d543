/** What became of a tool call, where OpenCode itself calls it a success. Pure. */
import type { ToolPart } from "./events.ts";

/** OpenCode's stand-in for a call that it cannot make: of a tool that it does not have, or with arguments that are no JSON. */
const INVALID = "invalid";
/** A tool's name is the model's to choose: others are content, or would make a name of each call. */
const NAME = /^[\w.:-]{1,64}$/;
/** What OpenCode's shell tool appends when its own time limit ended the command. */
const TIMED_OUT = /<shell_metadata>\s[^<]*\bterminated command after exceeding timeout\b/;
/** That text stands at the end; what comes before is the command's. */
const TAIL_LENGTH = 1_000;

/** What OpenCode (1.18.33) makes of a call when a person refuses it, and says nothing else, or declines its questions. */
const REFUSALS: ReadonlySet<string> = new Set([
  "The user rejected permission to use this specific tool call.",
  "The user dismissed this question",
]);

/** Whether a person refused the call, by OpenCode's own word: it goes no further then. */
export function isRefused({ state }: ToolPart): boolean {
  return state.status === "error" && REFUSALS.has(state.error);
}

/** The tool that the model called. */
export function toolName({ tool, state }: ToolPart): string {
  if (tool !== INVALID || state.status === "pending") return tool;
  const { tool: called } = state.input;
  return typeof called === "string" && NAME.test(called) ? called : tool;
}

/** Why a call that has ended is no success. */
export function toolProblem({
  tool,
  state,
}: ToolPart): "tool_failed" | "tool_call_invalid" | "tool_timeout" | undefined {
  if (state.status === "error") return "tool_failed";
  if (tool === INVALID) return "tool_call_invalid";
  if (state.status !== "completed" || typeof state.metadata?.exit === "number") return undefined;
  return TIMED_OUT.test(state.output.slice(-TAIL_LENGTH)) ? "tool_timeout" : undefined;
}
