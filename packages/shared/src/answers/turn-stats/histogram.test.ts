import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  barsOf,
  bucketOf,
  countOf,
  EMPTY,
  ERROR_BOUND,
  exactQuantile,
  type Histogram,
  histogramOf,
  merge,
  parseHistogram,
  quantile,
  upperBound,
  ZERO,
} from "./histogram.ts";

/** Values as turns have them: times, tokens and costs, with zeros. */
const value = fc.oneof(
  fc.constant(0),
  fc.double({ min: 1e-9, max: 1e9, noNaN: true }),
  fc.integer({ min: 0, max: 10_000_000 }),
);
const values = fc.array(value, { maxLength: 60 });
const share = fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1);
/** A little more than rounding makes of the bound. */
const BOUND = ERROR_BOUND + 1e-12;

const countsOf = ({ counts }: Histogram) => [...counts].sort(([a], [b]) => a - b);

describe("merging", () => {
  test("is commutative and associative, and its empty histogram changes nothing", () => {
    fc.assert(
      fc.property(values, values, values, (x, y, z) => {
        const [a, b, c] = [histogramOf(x), histogramOf(y), histogramOf(z)];
        expect(countsOf(merge(a, b))).toEqual(countsOf(merge(b, a)));
        expect(countsOf(merge(merge(a, b), c))).toEqual(countsOf(merge(a, merge(b, c))));
        expect(merge(merge(a, b), c).sum).toBeCloseTo(merge(a, merge(b, c)).sum, 3);
        expect(merge(a, EMPTY)).toEqual(a);
      }),
    );
  });

  test("gives the histogram of all values", () => {
    fc.assert(
      fc.property(values, values, (x, y) => {
        const merged = merge(histogramOf(x), histogramOf(y));
        expect(countsOf(merged)).toEqual(countsOf(histogramOf([...x, ...y])));
        expect(countOf(merged)).toBe(x.length + y.length);
      }),
    );
  });
});

describe("a quantile", () => {
  test("is within the bound of the exact one, after any merges", () => {
    fc.assert(
      fc.property(values, values, share, (x, y, at) => {
        const exact = exactQuantile(
          [...x, ...y].sort((a, b) => a - b),
          at,
        );
        const estimate = quantile(merge(histogramOf(x), histogramOf(y)), at);
        expect(estimate === null).toBe(exact === null);
        if (exact === null || estimate === null) return;
        expect(Math.abs(estimate - exact)).toBeLessThanOrEqual(exact * BOUND);
      }),
    );
  });

  test("is the nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    expect([0.5, 0.9, 0.99, 1, 0.07].map((at) => exactQuantile(hundred, at))).toEqual([50, 90, 99, 100, 7]);
    expect(exactQuantile([], 0.5)).toBeNull();
    expect(quantile(EMPTY, 0.5)).toBeNull();
  });
});

test("each value is in its bucket", () => {
  fc.assert(
    fc.property(value, (v) => {
      const bucket = bucketOf(v);
      expect(bucket === ZERO).toBe(v === 0);
      if (bucket === ZERO) return;
      expect(v).toBeLessThanOrEqual(upperBound(bucket) * (1 + 1e-12));
      expect(v).toBeGreaterThan(upperBound(bucket - 1) * (1 - 1e-12));
    }),
  );
});

test("bars have all values, in order, and are not more than asked for", () => {
  fc.assert(
    fc.property(values, fc.integer({ min: 2, max: 20 }), (x, most) => {
      const bars = barsOf(histogramOf(x), most);
      expect(bars.length).toBeLessThanOrEqual(most);
      expect(bars.reduce((sum, { turns }) => sum + turns, 0)).toBe(x.length);
      for (const [index, { from, to }] of bars.entries()) {
        expect(to).toBeGreaterThanOrEqual(from);
        if (index > 0) expect(from).toBeGreaterThanOrEqual(bars[index - 1]?.to ?? 0);
      }
    }),
  );
});

test("a stored histogram is read as it was", () => {
  const { sum, counts } = parseHistogram('{"sum":12.5,"zero":2,"-40":1,"51":3}');
  expect(sum).toBe(12.5);
  expect([...counts]).toEqual([
    [51, 3],
    [ZERO, 2],
    [-40, 1],
  ]);
  expect(parseHistogram("{}")).toEqual(EMPTY);
});
