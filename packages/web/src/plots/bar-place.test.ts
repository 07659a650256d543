import fc from "fast-check";
import { expect, test } from "vitest";
import { placeOf } from "./bar-place.ts";

const BARS = [
  { from: 0, to: 0, turns: 3 },
  { from: 1, to: 10, turns: 5 },
  { from: 10, to: 100, turns: 0 },
  { from: 100, to: 1000, turns: 1 },
];

test.each([
  [0, 0],
  [1, 0.5],
  [10, 1.5],
  [1000, 3.5],
  [9_999, 3.5],
])("%d stands at %d", (value, place) => expect(placeOf(value, BARS)).toBeCloseTo(place));

test("the middle of a bar is that of the logarithms", () => expect(placeOf(Math.sqrt(10) * 10, BARS)).toBeCloseTo(2));

test("larger values never stand further left, and all stand within the bars", () => {
  const value = fc.double({ min: 0, max: 5_000, noNaN: true });
  fc.assert(
    fc.property(value, value, (a, b) => {
      const [low, high] = [placeOf(Math.min(a, b), BARS), placeOf(Math.max(a, b), BARS)];
      expect(low).toBeLessThanOrEqual(high);
      expect(low).toBeGreaterThanOrEqual(-0.5);
      expect(high).toBeLessThanOrEqual(3.5);
    }),
  );
});
