import { expect, test } from "vitest";
import { FactLog } from "./fact-log.ts";

test("a span begins no later than its descendants, even if its own start is reported later, and never before its parent", () => {
  const log = new FactLog();
  log.begin("invoke_agent build", "agent", undefined, 1_000, {});
  log.hasBegunBy("tool", 1_081);
  log.hasBegunBy("early", 990);
  log.begin("execute_tool spawn_session", "tool", "agent", 1_086, {});
  log.begin("execute_tool spawn_session", "early", "agent", 1_086, {});
  log.begin("execute_tool read", "other", "agent", 1_086, {});
  log.hasBegunBy("other", 1_000);
  const starts = log.take().flatMap((fact) => (fact.type === "begin" ? [[fact.spanId, fact.startMs]] : []));
  expect(starts).toEqual([
    ["agent", 1_000],
    ["tool", 1_081],
    ["early", 1_000],
    ["other", 1_086],
  ]);
});
