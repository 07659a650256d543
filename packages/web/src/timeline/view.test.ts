import fc from "fast-check";
import { expect, test } from "vitest";
import { foldIdle } from "./axis.ts";
import { panned, type Range, rangeAround, rangeWith, timeInView, type View, viewOf, zoomed } from "./view.ts";

const MINUTE_MS = 60_000;
const stretchesFrom = (starts: readonly number[]) => {
  const work = starts.map((start) => ({ startMs: start * MINUTE_MS, endMs: (start + 3) * MINUTE_MS }));
  return foldIdle(work, [], { startMs: 0, endMs: 3000 * MINUTE_MS });
};
const starts = fc.array(fc.integer({ min: 0, max: 2990 }), { minLength: 1, maxLength: 20 });
const change = fc.oneof(
  fc.record({ by: fc.constant("pan" as const), px: fc.integer({ min: -3000, max: 3000 }) }),
  fc.record({
    by: fc.constant("zoom" as const),
    factor: fc.double({ min: 0.01, max: 1e5, noNaN: true }),
    x: fc.integer({ min: 0, max: 800 }),
  }),
);

function within(view: View): void {
  expect(view.left).toBeGreaterThanOrEqual(0);
  expect(view.left).toBeLessThanOrEqual(Math.max(0, view.axis.width - view.width + 16) + 1e-6);
  expect(view.pxPerMs).toBeGreaterThan(0);
}

test("no course of zooming and panning leaves the session", () => {
  fc.assert(
    fc.property(starts, fc.array(change, { maxLength: 12 }), (all, changes) => {
      const stretches = stretchesFrom(all);
      let range: Range;
      for (const each of changes) {
        const view = viewOf(stretches, range, 800);
        within(view);
        range = each.by === "pan" ? panned(view, each.px) : zoomed(view, each.factor, each.x);
      }
      within(viewOf(stretches, range, 800));
    }),
  );
});

test("zooming in keeps the time under the pointer where it is", () => {
  fc.assert(
    fc.property(
      starts,
      fc.integer({ min: 20, max: 780 }),
      fc.double({ min: 1.1, max: 50, noNaN: true }),
      (all, x, factor) => {
        const view = viewOf(stretchesFrom(all), undefined, 800);
        const ms = view.axis.msOf(x);
        const after = viewOf(view.stretches, zoomed(view, factor, x), 800);
        const isAtEnd = after.left === 0 || Math.abs(after.left - (after.axis.width - 784)) < 1;
        if (!isAtEnd) expect(after.axis.xOf(ms) - after.left).toBeCloseTo(x, 0);
      },
    ),
  );
});

test("zooming out far enough shows the whole session", () => {
  const view = viewOf(stretchesFrom([0, 500, 900]), { leftMs: 500 * MINUTE_MS, pxPerMs: 0.01 }, 800);
  expect(zoomed(view, 1e-9, 400)).toBeUndefined();
});

test("what is asked for is in view: a stretch of time, something selected, and now while it is followed", () => {
  const stretches = stretchesFrom([0, 500, 900]);
  const whole = viewOf(stretches, undefined, 800);
  const turn = { startMs: 500 * MINUTE_MS, endMs: 503 * MINUTE_MS };
  const around = viewOf(stretches, rangeAround(whole, turn), 800);
  expect(timeInView(around).startMs).toBeLessThanOrEqual(turn.startMs);
  expect(timeInView(around).endMs).toBeGreaterThanOrEqual(turn.endMs);
  expect(around.axis.xOf(turn.endMs) - around.axis.xOf(turn.startMs)).toBeGreaterThan(500);
  const early = { leftMs: 0, pxPerMs: around.pxPerMs };
  const moved = viewOf(stretches, rangeWith(viewOf(stretches, early, 800), early, turn), 800);
  expect(timeInView(moved).startMs).toBeLessThan(turn.endMs);
  expect(timeInView(moved).endMs).toBeGreaterThan(turn.startMs);
  expect(rangeWith(around, early, turn)).toBe(early);
  const followed = viewOf(stretches, early, 800, 3000 * MINUTE_MS);
  expect(timeInView(followed).endMs).toBeGreaterThanOrEqual(3000 * MINUTE_MS);
});

test("what has begun since the axis was made is where now is: it moves neither the whole session nor what is followed", () => {
  const stretches = stretchesFrom([0, 500, 900]);
  const late = { startMs: 3000.01 * MINUTE_MS, endMs: 3000.02 * MINUTE_MS };
  expect(rangeWith(viewOf(stretches, undefined, 800), undefined, late)).toBeUndefined();
  const near = { leftMs: 0, pxPerMs: viewOf(stretches, undefined, 800).pxPerMs * 1000 };
  expect(rangeWith(viewOf(stretches, near, 800, 3000 * MINUTE_MS), near, late)).toBe(near);
});
