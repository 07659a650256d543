import fc from "fast-check";
import { expect, test } from "vitest";
import { DURATION_TICKS, logRange, MONEY_TICKS, ticksIn, timeTexts } from "./log-axes.ts";

test("a range of values reaches from a tick to a tick", () => {
  expect(logRange(DURATION_TICKS, [null, 12, 850])).toEqual([10, 1_000]);
  expect(logRange(DURATION_TICKS, [10, 10])).toEqual([10, 100]);
  expect(logRange(MONEY_TICKS, [0.13, 0.8])).toEqual([0.1, 1]);
  expect(logRange(MONEY_TICKS, [0, null])).toEqual([0.001, 0.01]);
  expect(ticksIn(DURATION_TICKS, 1_000, 60_000)).toEqual([1_000, 10_000, 60_000]);
});

test("every value above 0 is within its range", () => {
  const value = fc.double({ min: 1e-6, max: 1e12, noNaN: true });
  fc.assert(
    fc.property(fc.array(value, { minLength: 1 }), (values) => {
      const [low, high] = logRange(DURATION_TICKS, values);
      expect(low).toBeLessThan(high);
      expect(low).toBeLessThanOrEqual(Math.min(...values));
      expect(high).toBeGreaterThanOrEqual(Math.max(...values));
    }),
  );
});

test("no two ticks of a time axis have the same text", () => {
  const begin = new Date(2026, 10, 27, 23, 58, 30).getTime() / 1000;
  for (const apart of [1, 15, 30, 60, 300, 3_600]) {
    const texts = timeTexts(
      undefined,
      Array.from({ length: 8 }, (_, index) => begin + index * apart),
    );
    expect(new Set(texts).size, `${apart} s apart`).toBe(8);
  }
  expect(timeTexts(undefined, [begin, begin + 15])).toEqual(["23:58:30", "23:58:45"]);
});
