import { expect, test } from "vitest";
import { writtenBy } from "./written-by.ts";

const call = (tool: string, input: string) => ({
  type: "tool" as const,
  id: `${tool} ${input}`,
  tool,
  input,
  status: "completed" as const,
});
const found = (path: string, ...parts: ReturnType<typeof call>[]) => {
  const { calls, others } = writtenBy(path, [{ id: "m", parts: [{ type: "text", id: "t", text: path }, ...parts] }]);
  return [calls.length, others.length];
};

test.each([
  ["its path in the repository", "write", '{"filePath":"src/a.ts","content":""}', 1],
  ["its absolute path", "edit", '{"filePath":"/workspace/repo/src/a.ts"}', 1],
  ["an input that was cut", "write", '{"filePath":"src/a.ts","content":"never en', 1],
  ["another file", "write", '{"filePath":"other-src/a.ts"}', 0],
  ["a file in another folder", "write", '{"filePath":"/repo/xsrc/a.ts"}', 0],
  ["reading it", "read", '{"filePath":"src/a.ts"}', 0],
  ["a patch of it", "apply_patch", JSON.stringify({ patchText: "*** Begin Patch\n*** Update File: src/a.ts\n" }), 1],
  ["a patch of another", "apply_patch", JSON.stringify({ patchText: "*** Update File: src/a.tsx" }), 0],
  ["no JSON", "write", "src/a.ts", 0],
  ["null", "write", "null", 0],
])("%s: the tool %s with %s", (_what, tool, input, count) => {
  expect(found("src/a.ts", call(tool, input))).toEqual([count, 0]);
});

test("a command, a sub-agent or another tool may have written it, and does not say so", () => {
  expect(found("a", call("bash", '{"command":"echo > a"}'), call("task", "{}"), call("mcp_x", "{}"))).toEqual([0, 3]);
});
