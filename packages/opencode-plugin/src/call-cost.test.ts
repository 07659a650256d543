import { expect, test } from "vitest";
import { costOf, unpricedKinds } from "./call-cost.ts";

const flat = (input: number) => ({ input, output: 5 * input, cache: { read: input / 10, write: 1.25 * input } });
const tokens = (input: number, read = 0, write = 0) => ({
  ...{ total: input + read + write + 100, input, output: 60, reasoning: 40 },
  cache: { read, write },
});

test.each([
  ["a short input", tokens(1000), (1000 * 2 + 100 * 10) / 1e6],
  ["200,000 tokens of it", tokens(150_000, 50_000), (150_000 * 2 + 50_000 * 0.2 + 100 * 10) / 1e6],
  ["more, cached tokens included", tokens(1, 200_000), (4 + 200_000 * 0.4 + 100 * 20) / 1e6],
  ["more, written tokens included", tokens(1, 0, 200_000), (4 + 200_000 * 5 + 100 * 20) / 1e6],
])("prices above 200,000 tokens are those of the whole input: %s", (_what, used, usd) => {
  const prices = { ...flat(2), experimentalOver200K: flat(4) };
  expect(costOf(used, prices)).toBeCloseTo(usd, 12);
  // A tier says it more exactly.
  expect(costOf(used, { ...prices, tiers: [{ ...flat(4), tier: { type: "context", size: 200_000 } }] })).toBeCloseTo(
    usd,
    12,
  );
});

test("without prices the cost is unknown", () => {
  expect([costOf(tokens(1000), undefined), costOf(tokens(1000), flat(0))]).toEqual([undefined, undefined]);
});

test("a kind of tokens without a price is unpriced where others have one, also in one tier only", () => {
  const lacking = { input: 2, output: 8, cache: { read: 0, write: 0 } };
  expect(unpricedKinds(lacking)).toEqual(["cacheRead", "cacheWrite"]);
  expect(unpricedKinds({ ...flat(2), tiers: [{ ...lacking, tier: { type: "context", size: 1 } }] })).toHaveLength(2);
  expect(unpricedKinds({ ...flat(2), experimentalOver200K: { ...flat(4), output: 0 } })).toEqual(["output"]);
  expect([unpricedKinds(flat(2)), unpricedKinds(flat(0)), unpricedKinds(undefined)]).toEqual([[], [], []]);
});
