import { expect, test } from "vitest";
import { partialCostOf, usageOf } from "./span-usage.ts";

const WHOLE = { "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 5, "valet.llm.cost_usd": 0.001 };
const readOf = (attributes: Readonly<Record<string, unknown>>) => (key: string) => attributes[key];

test.each<[string, Readonly<Record<string, unknown>>, boolean]>([
  ["whole", {}, false],
  ["without the input", { "gen_ai.usage.input_tokens": undefined }, true],
  ["without the output", { "gen_ai.usage.output_tokens": undefined }, true],
  ["with an impossible output", { "gen_ai.usage.output_tokens": -1 }, true],
  ["with tokens without a price", { "valet.llm.cost_partial": true }, true],
  ["without a cost", { "gen_ai.usage.output_tokens": undefined, "valet.llm.cost_usd": undefined }, false],
])("the usage of a model call, %s, makes its cost a lower bound: %j → %j", (_title, more, isCostPartial) => {
  const read = readOf({ ...WHOLE, ...more });
  expect(partialCostOf({ name: "chat mock", outcome: "ok" }, read)).toEqual(isCostPartial ? { isCostPartial } : {});
  expect(partialCostOf({ name: "execute_tool bash", outcome: "ok" }, read)).toEqual({});
  expect(usageOf("chat mock", read)?.costUsd).toBe("valet.llm.cost_usd" in more ? undefined : 0.001);
});

test.each([
  ["ok", undefined, {}, false],
  ["aborted", undefined, {}, true],
  ["lost", undefined, {}, true],
  ["error", "provider_stream_cut", {}, true],
  ["error", "provider_overloaded", {}, false],
  ["error", "provider_overloaded", { "gen_ai.response.time_to_first_chunk": 0.5 }, true],
] as const)(
  "a try of a model call that ended %s (%s, %j) may have been charged: %j",
  (outcome, type, more, isCharged) => {
    const read = readOf({ "error.type": type, ...more });
    expect(partialCostOf({ name: "valet.llm.try", outcome }, read)).toEqual(isCharged ? { isCostPartial: true } : {});
  },
);
