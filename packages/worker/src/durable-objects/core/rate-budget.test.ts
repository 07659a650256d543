import fc from "fast-check";
import { expect, test } from "vitest";
import { RateBudget } from "./rate-budget.ts";

test("no sequence of spending gets more than the burst and the refill", () => {
  const step = fc.record({ waitMs: fc.nat(5000), cost: fc.nat(20) });
  fc.assert(
    fc.property(
      fc.array(step),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 0, max: 20 }),
      (steps, burst, rate) => {
        const budget = new RateBudget({ burst, perSecond: rate });
        let [nowMs, spent] = [1_700_000_000_000, 0];
        const startMs = nowMs;
        for (const { waitMs, cost } of steps) {
          nowMs += waitMs;
          if (budget.spend(cost, nowMs)) spent += cost;
          expect(spent).toBeLessThanOrEqual(burst + ((nowMs - startMs) * rate) / 1000 + 1e-6);
        }
      },
    ),
  );
});

test("spending within the rate is never refused", () => {
  const budget = new RateBudget({ burst: 10, perSecond: 10 });
  for (let i = 0; i < 100; i++) expect(budget.spend(1, 1000 + i * 100)).toBe(true);
});

test("a clock that is set back refills nothing and breaks nothing", () => {
  const budget = new RateBudget({ burst: 1, perSecond: 1 });
  expect(budget.spend(1, 10_000)).toBe(true);
  expect(budget.spend(1, 1000)).toBe(false);
  expect(budget.spend(1, 2000)).toBe(true);
});
