import { expect, test } from "vitest";
import { costOf } from "./call-cost.ts";

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
