import fc from "fast-check";
import { expect, test } from "vitest";
import {
  between,
  followed,
  isWhole,
  nowOf,
  offsetText,
  panned,
  placeOf,
  ticksOf,
  type View,
  viewOf,
  zoomed,
} from "./scale.ts";

const bounds = viewOf(1_000_000_000, 1_060_000_000);
const point = fc.double({ min: 0, max: 1, noNaN: true });
const view = fc
  .tuple(point, point)
  .map(([a, b]) => between(bounds, a, b))
  .filter(({ startUs, endUs }) => endUs <= bounds.endUs && startUs >= bounds.startUs);
const width = ({ startUs, endUs }: View) => endUs - startUs;

test("zooming and moving stay within the bounds, and no window is empty", () => {
  fc.assert(
    fc.property(
      view,
      fc.double({ min: 0.01, max: 100, noNaN: true }),
      point,
      fc.double({ min: -3, max: 3, noNaN: true }),
      (view, factor, at, by) => {
        for (const next of [zoomed(view, bounds, factor, at), panned(view, bounds, by)]) {
          expect(width(next)).toBeGreaterThan(0);
          expect(next.startUs).toBeGreaterThanOrEqual(bounds.startUs - 1);
          expect(next.endUs).toBeLessThanOrEqual(bounds.endUs + 1);
        }
      },
    ),
  );
});

test("what is under the pointer stays there while zooming in", () => {
  const next = zoomed(bounds, bounds, 4, 0.25);
  expect(width(next)).toBe(width(bounds) / 4);
  expect(placeOf(next, 1_015_000_000, 1_015_000_000)?.left).toBeCloseTo(25);
});

test("zooming out far enough shows everything", () => {
  expect(isWhole(zoomed(between(bounds, 0.4, 0.5), bounds, 0.01, 0.5), bounds)).toBe(true);
});

test("ticks are at even times since the origin, and as many as fit", () => {
  fc.assert(
    fc.property(view, fc.integer({ min: 1, max: 20 }), (view, count) => {
      const { ticks, stepUs } = ticksOf(view, bounds.startUs, count);
      expect(stepUs).toBeGreaterThan(0);
      expect(ticks.length).toBeLessThanOrEqual(count + 2);
      for (const { left } of ticks) {
        expect(left).toBeGreaterThanOrEqual(-0.001);
        expect(left).toBeLessThanOrEqual(100.001);
      }
    }),
  );
});

test.each([
  [0, 1_000_000, "0 s"],
  [20_000_000, 20_000_000, "20 s"],
  [80_000_000, 20_000_000, "1 m 20 s"],
  [1_250_000, 50_000, "1.25 s"],
  [61_250_000, 50_000, "1 m 01.25 s"],
  [-400_000, 100_000, "−0.4 s"],
])("%i µs in steps of %i are %s", (us, stepUs, text) => {
  expect(offsetText(us, stepUs).replaceAll("\u00a0", " ")).toBe(text);
});

test("an end a little after now moves now; one far in the future, of a wrong clock, makes no open span older", () => {
  const now = 1_800_000_000_000_000;
  expect(nowOf(now, now - 1_000_000)).toBe(now);
  expect(nowOf(now, now + 1_000_000)).toBe(now + 1_000_000);
  expect(nowOf(now, now + 31_536_000_000_000)).toBe(now);
});

test("a window that follows now stays at the end of what has ended, and does not follow an end far in the future", () => {
  const { startUs, endUs } = bounds;
  const shown = viewOf(startUs, startUs + 1_000_000);
  expect(followed(shown, bounds, endUs + 3_600_000_000)).toEqual(viewOf(endUs - 1_000_000, endUs));
  expect(followed(shown, bounds, endUs - 5_000_000)).toEqual(viewOf(endUs - 6_000_000, endUs - 5_000_000));
});
