import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { median, medianInterval } from "../bench/lib/statistics.ts";
import { type Bound, compare, formatTable, isMissed, withoutTheirs } from "../bench/lib/table.ts";

/** @param noise what "off, again" differs by from "off", round by round */
function rowOf(ours: readonly number[], bound: Bound, noise: readonly number[] = [0]) {
  const off = ours.map(() => 100);
  const again = ours.map((_, round) => 100 + (noise[round % noise.length] as number));
  const samples = { ours, off, again };
  const [row] = compare({ name: "a turn", unit: "ms", samples, equal: ["off", "again"] }, "ours", () => bound);
  if (row === undefined) throw new Error("no row");
  return row;
}

const times = (value: number, count = 20) => Array.from({ length: count }, () => value);
const NOISE = [-4, -2, 0, 2, 4];

describe("a bound", () => {
  test("is decided when the value is farther from it than two equal systems are from each other", () => {
    const bound: Bound = { of: "ratio", atMost: 1.1 };
    const verdicts = [105, 109, 111, 120].map((ms) => rowOf(times(ms), bound, NOISE).bound?.verdict);
    expect(verdicts).toEqual(["ok", "undecided", "undecided", "MISSED"]);
    expect(rowOf(times(109), bound).bound?.verdict).toBe("ok");
    expect(rowOf(times(111), bound).bound?.verdict).toBe("MISSED");
  });

  test("of a difference is judged by the difference, and shown with it", () => {
    const row = rowOf(times(130), { of: "difference", atMost: 20 }, NOISE);
    expect(row.bound?.verdict).toBe("MISSED");
    expect(formatTable({ title: "T", rows: [row] })).toContain("| +30.0 ms (30.00–30.00) | ±2.00 ms   | ≤ +20.0 ms |");
  });

  test("of no noticeable difference holds within the resolution, in both directions", () => {
    const verdicts = [95, 98.5, 101.5, 105].map(
      (ms) => rowOf(times(ms), { of: "indistinguishable" }, NOISE).bound?.verdict,
    );
    expect(verdicts).toEqual(["MISSED", "ok", "ok", "MISSED"]);
  });

  test("of our value alone is decided by that value", () => {
    const missed = rowOf(times(301), { of: "ours", atMost: 300 }, NOISE);
    expect(isMissed(missed)).toBe(true);
    expect(isMissed(rowOf(times(299), { of: "ours", atMost: 300 }, NOISE))).toBe(false);
  });
});

test("a bound that the contender misses, too, is undecided on that machine", () => {
  const verdict = (ours: number, atMost: number) =>
    rowOf(times(ours), { of: "ours", atMost, needsTheirs: true }).bound?.verdict;
  // Theirs is 100.
  expect([verdict(120, 90), verdict(80, 90), verdict(120, 110)]).toEqual(["undecided", "ok", "MISSED"]);
});

test("rounds are compared with each other, since a disturbance affects both", () => {
  const samples = { ours: [10, 20, 40], theirs: [20, 40, 80] };
  const [row] = compare({ name: "a turn", unit: "ms", samples }, "ours", () => undefined);
  expect(row?.ratio).toEqual({ median: 0.5, min: 0.5, max: 0.5 });
});

test("a contender without samples is an error, not a figure", () => {
  const measure = { name: "a turn", unit: "ms", samples: { ours: [], theirs: [1] } } as const;
  expect(() => compare(measure, "ours", () => undefined)).toThrow("a turn: no samples of ours");
});

describe("the interval of a median", () => {
  test("has the ranks of the binomial distribution", () => {
    const ranks = [5, 6, 10, 20, 100].map((count) => medianInterval(Array.from({ length: count }, (_, rank) => rank)));
    expect(ranks).toEqual([
      { low: 0, high: 4 },
      { low: 0, high: 5 },
      { low: 1, high: 8 },
      { low: 5, high: 14 },
      { low: 39, high: 60 },
    ]);
  });

  test("holds the median, whatever the order", () => {
    // Milliseconds and bytes, with a wide margin: the sum of two of the largest doubles would be no number, and -0 equals 0 but is not it.
    const measured = fc.double({ min: 0, max: 1e100, noNaN: true });
    const values = fc.array(measured, { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(values, (samples) => {
        const { low, high } = medianInterval(samples);
        expect(low).toBeLessThanOrEqual(median(samples));
        expect(high).toBeGreaterThanOrEqual(median(samples));
        expect(medianInterval(samples.toReversed())).toEqual({ low, high });
      }),
    );
  });
});

test("a contender that cannot run here is a dash", () => {
  const row = withoutTheirs(
    { name: "taken", unit: "spans/s", samples: { ours: [1000, 3000, 2000] } },
    "ours",
    "Collector",
  );
  expect(isMissed(row)).toBe(false);
  expect(formatTable({ title: "T", rows: [row] })).toContain("| 2000 spans/s | Collector | –      | –               |");
});
