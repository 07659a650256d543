import { expect, test } from "vitest";
import type { Answer } from "./answer.ts";
import { LoopGuard } from "./loop-guard.ts";

const NOTHING: Answer = { finish: "unknown", hasText: false, hasReasoning: false, hasToolCall: false };
const call = (tool: string, input: unknown = {}, output = "same") => ({ tool, input, output });

function guard(...steps: (Answer | ReturnType<typeof call>)[]) {
  const made = new LoopGuard(new Set(["poll"]));
  for (const step of steps) {
    if ("tool" in step) made.toolEnded(step);
    else made.answered(step);
  }
  return made.verdict;
}
const times = <T>(count: number, what: T): T[] => Array.from({ length: count }, () => what);

test.each([
  ["nothing and no finish reason", NOTHING],
  ["text without a finish reason", { ...NOTHING, hasText: true }],
  ["reasoning without a finish reason", { ...NOTHING, hasReasoning: true }],
  ["a finish reason for tools without a tool", { ...NOTHING, finish: "tool-calls" }],
])("three answers in a row of %s end the run", (_what, answer) => {
  expect(guard(...times(2, answer))).toBeUndefined();
  expect(guard(...times(3, answer))).toBe("useless_answers");
  expect(guard(...times(2, answer), { ...NOTHING, hasToolCall: true }, ...times(2, answer))).toBeUndefined();
});

test.each(["stop", "length", "content-filter"])("an answer that ends with %s is usable", (finish) => {
  expect(guard(...times(9, { ...NOTHING, finish }))).toBeUndefined();
});

test("five calls with the same arguments and the same result are a loop", () => {
  expect(guard(...times(4, call("read", { path: "a", from: 1 })))).toBeUndefined();
  expect(guard(...times(4, call("read", { path: "a", from: 1 })), call("read", { from: 1, path: "a" }))).toBe(
    "agent_loop",
  );
});

test("alternating calls without new results are a loop", () => {
  expect(guard(...times(6, [call("read"), call("list")]).flat())).toBe("agent_loop");
});

test("another result, other arguments or another tool in between is progress", () => {
  expect(guard(...times(9, 0).map((_, index) => call("read", {}, `result ${index}`)))).toBeUndefined();
  expect(guard(...times(9, 0).map((_, index) => call("read", { index })))).toBeUndefined();
  const edits = times(9, 0).flatMap((_, index) => [call("status"), call("edit", { index })]);
  expect(guard(...edits)).toBeUndefined();
});

test("a polling tool may be called any number of times", () => {
  expect(guard(...times(50, call("poll")))).toBeUndefined();
});
