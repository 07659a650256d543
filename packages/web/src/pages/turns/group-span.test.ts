import fc from "fast-check";
import { expect, test } from "vitest";
import { spanOf } from "./group-span.ts";

const of = (p50: number | null, p90 = p50, p99 = p90) => ({ p50, p90, p99 });

test("the smallest value of all groups stands at the left, the largest at the right", () => {
  const all = [of(1, 10, 100), of(10, 100, 10_000)];
  expect(spanOf(of(1, 100, 10_000), all)).toEqual({ p50: 0, p90: 50, p99: 100 });
});

test("what is not known has no place, and what is 0 stands at the left", () => {
  expect(spanOf(of(null), [of(1)])).toBeUndefined();
  expect(spanOf(of(0), [of(0)])).toEqual({ p50: 0, p90: 0, p99: 0 });
  expect(spanOf(of(0, 1, 10), [of(0, 1, 10)])).toEqual({ p50: 0, p90: 0, p99: 100 });
});

test("a span stays on the axis, in order", () => {
  const group = fc.tuple(fc.nat(1e9), fc.nat(1e9), fc.nat(1e9)).map((values) => {
    const [p50 = 0, p90 = 0, p99 = 0] = values.sort((a, b) => a - b);
    return of(p50, p90, p99);
  });
  fc.assert(
    fc.property(fc.array(group, { minLength: 1 }), (groups) => {
      for (const each of groups) {
        const span = spanOf(each, groups) ?? { p50: -1, p90: -1, p99: -1 };
        expect(span.p50).toBeGreaterThanOrEqual(0);
        expect(span.p90).toBeGreaterThanOrEqual(span.p50);
        expect(span.p99).toBeGreaterThanOrEqual(span.p90);
        expect(span.p99).toBeLessThanOrEqual(100.000001);
      }
    }),
  );
});
