import { expect, test } from "vitest";
import type { ToolPart } from "./events.ts";
import { toolName, toolProblem } from "./tool-result.ts";

type State = ToolPart["state"];
const time = { start: 1, end: 2 };
const part = (tool: string, state: State): ToolPart => ({
  id: "prt_1",
  messageID: "msg_1",
  sessionID: "ses_1",
  type: "tool",
  tool,
  callID: "call_1",
  state,
});
const completed = (tool: string, input: Record<string, unknown>, output: string, exit?: number | null) =>
  part(tool, { status: "completed", input, output, time, metadata: { exit } });

test("OpenCode's tool `invalid` is a failed call of the tool that the model named", () => {
  const broken = completed("invalid", { tool: "bash", error: "JSON parsing failed" }, "The arguments are invalid");
  expect([toolName(broken), toolProblem(broken)]).toEqual(["bash", "tool_call_invalid"]);
  const unknown = completed("invalid", { tool: "mcp_frobnicate", error: "no such tool" }, "The arguments are invalid");
  expect(toolName(unknown)).toBe("mcp_frobnicate");
});

test.each([["rm -rf /; echo"], ["a".repeat(65)], [""], [undefined], [7]])("%j is not a valid tool name", (tool) => {
  expect(toolName(completed("invalid", { tool }, ""))).toBe("invalid");
});

const TIMED_OUT = `half done

<shell_metadata>
shell tool terminated command after exceeding timeout 120000 ms. If this command is expected to take longer and is not waiting for interactive input, retry with a larger timeout value in milliseconds.
</shell_metadata>`;

test("a command that OpenCode's own limit ended is not a success", () => {
  expect(toolProblem(completed("bash", {}, TIMED_OUT, null))).toBe("tool_timeout");
});

test("a command that only prints that text is a success", () => {
  expect(toolProblem(completed("bash", {}, TIMED_OUT, 0))).toBeUndefined();
  expect(toolProblem(completed("bash", {}, "terminated command after exceeding timeout", null))).toBeUndefined();
  expect(toolProblem(completed("bash", {}, `${TIMED_OUT}${"x".repeat(2000)}`, null))).toBeUndefined();
});

test("arguments that are JSON, but not those of the tool, make an invalid call; what a tool itself says does not", () => {
  const failed = (tool: string, error: string) => part(tool, { status: "error", input: {}, error, metadata: {}, time });
  const text = 'The bash tool was called with invalid arguments: SchemaError(Missing key\n  at ["command"]).';
  expect(toolProblem(failed("bash", text))).toBe("tool_call_invalid");
  expect(toolProblem(failed("mcp_lint", text))).toBe("tool_failed");
  expect(toolProblem(failed("bash", `It printed: ${text}`))).toBe("tool_failed");
});

test("an error state is a failure, and a completed one is not", () => {
  expect(toolProblem(part("read", { status: "error", input: {}, error: "no such file", metadata: {}, time }))).toBe(
    "tool_failed",
  );
  expect(toolProblem(completed("read", {}, "text"))).toBeUndefined();
});
