import { expect, test } from "vitest";
import { costText, knownSum, lacksCost } from "./cost.ts";

test("a sum of 0 with a missing part is unknown, and any other is known", () => {
  expect(knownSum(0, 0)).toBe(0);
  expect(knownSum(0, 1)).toBeNull();
  expect(knownSum(0.5, 0)).toBe(0.5);
  expect(knownSum(0.5, 3)).toBe(0.5);
});

test.each([
  [0.5, false, "$0.5000"],
  [0.5, true, "at least $0.5000"],
  [0, false, "$0.0000"],
  [0, true, "cost unknown"],
  [null, false, "cost unknown"],
  [undefined, true, "cost unknown"],
  [0.00005, false, "$0.0001"],
  [0.0000492, true, "at least $0.000049"],
  [1e-7, false, "$0.00000010"],
])("a cost of %s (partial: %s) is written as %s", (usd, isPartial, text) => {
  expect(costText(usd, isPartial)).toBe(text);
});

test.each([
  [{ cost_usd: 0.1, calls_without_cost: 0 }, false],
  [{ cost_usd: 0.1, calls_without_cost: 1 }, true],
  // A record of an earlier version.
  [{ cost_usd: 0.1, calls_without_cost: null }, true],
  [{ cost_usd: null, calls_without_cost: 0 }, true],
])("whether the cost of the turn %j lacks something: %s", (turn, lacks) => {
  expect(lacksCost(turn)).toBe(lacks);
});
