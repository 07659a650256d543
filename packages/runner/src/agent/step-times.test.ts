import { MAX_TURN_SAMPLES } from "@valet/shared/answers/verdict/durations";
import { expect, test } from "vitest";
import type { AgentSpanName, Fact } from "./facts.ts";
import { mergeDurations, StepTimes } from "./step-times.ts";

let spans = 0;

/** Returns the facts of a step that took some time. */
function step(name: AgentSpanName, ms: number, outcome: "ok" | "error" | "aborted" = "ok", parentId?: string): Fact[] {
  const spanId = `span_${++spans}`;
  const [, of] = name.split(" ");
  const attributes = { "gen_ai.request.model": of, "gen_ai.tool.name": of };
  return [
    { type: "begin", spanId, parentId, name, startMs: 1000, attributes },
    { type: "end", spanId, endMs: 1000 + ms, outcome, errorType: undefined, attributes: {}, content: {} },
  ];
}

test("durations of models and tools are collected, newest first", () => {
  const times = new StepTimes();
  times.add([...step("chat m", 5), ...step("execute_tool bash", 20.4), ...step("valet.compaction", 9)]);
  times.add([...step("execute_tool bash", 30, "error"), ...step("chat m", 7)]);
  expect(times.durations).toEqual([
    { kind: "model", name: "m", ms: [7, 5] },
    { kind: "tool", name: "bash", ms: [30, 20] },
  ]);
});

test("what was cut short does not count, nor what waited for a person", () => {
  const times = new StepTimes();
  const [begin, end] = step("execute_tool bash", 60_000) as [Fact & { type: "begin" }, Fact];
  times.add([
    ...step("chat m", 5, "aborted"),
    begin,
    ...step("valet.permission.wait", 50_000, "ok", begin.spanId),
    end,
  ]);
  expect(times.durations).toEqual([]);
});

test("of many, the newest are kept", () => {
  const times = new StepTimes();
  for (let ms = 1; ms <= 100; ms++) times.add(step("chat m", ms));
  expect(times.durations).toEqual([
    { kind: "model", name: "m", ms: Array.from({ length: MAX_TURN_SAMPLES }, (_, index) => 100 - index) },
  ]);
  const tools = Array.from({ length: 60 }, (_, index) => ({ kind: "tool" as const, name: `t${index}`, ms: [1] }));
  const merged = mergeDurations(tools, [{ kind: "tool", name: "t59", ms: [2] }]);
  expect(merged).toHaveLength(40);
  expect(merged[0]).toEqual({ kind: "tool", name: "t59", ms: [2, 1] });
});
