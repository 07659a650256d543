import fc from "fast-check";
import { expect, test } from "vitest";
import { axisOf, FOLD_PX, fitWhole, foldedFromMs, foldIdle } from "./axis.ts";
import { length, subtract, union } from "./intervals.ts";

const START_MS = Date.UTC(2026, 10, 24);
const HOUR_MS = 3_600_000;
const time = fc.double({ min: 0, max: 72 * HOUR_MS, noNaN: true }).map((ms) => START_MS + ms);
const interval = fc
  .tuple(time, fc.double({ min: 0, max: 2 * HOUR_MS, noNaN: true }))
  .map(([startMs, lasted]) => ({ startMs, endMs: startMs + lasted }));
const some = fc.array(interval, { maxLength: 30 });
const whole = { startMs: START_MS, endMs: START_MS + 80 * HOUR_MS };

test("a union is in order and without overlaps; what is subtracted and what stays add up", () => {
  fc.assert(
    fc.property(some, some, (a, b) => {
      const [from, cut] = [union(a), union(b)];
      from.forEach((each, index) => {
        expect(each.endMs).toBeGreaterThan(each.startMs);
        expect(each.startMs).toBeGreaterThan(from[index - 1]?.endMs ?? Number.NEGATIVE_INFINITY);
      });
      const rest = subtract(from, cut);
      expect(length(union([...rest, ...cut]))).toBeCloseTo(length(union([...from, ...cut])), 1);
      for (const each of rest) expect(subtract([each], cut)).toEqual([each]);
    }),
  );
});

test("stretches cover all of the time, in order; what works is only folded if it waits for a person", () => {
  fc.assert(
    fc.property(some, some, (work, waits) => {
      const stretches = foldIdle(work, waits, whole);
      expect(stretches[0]?.startMs).toBe(whole.startMs);
      expect(stretches.at(-1)?.endMs).toBe(whole.endMs);
      stretches.forEach((each, index) => {
        expect(each.endMs).toBeGreaterThan(each.startMs);
        if (index > 0) expect(each.startMs).toBe(stretches[index - 1]?.endMs);
      });
      const folded = stretches.filter(({ isFolded }) => isFolded);
      const busy = subtract(union(work), union(waits));
      expect(length(busy) - length(subtract(busy, folded))).toBeCloseTo(0, 3);
      for (const each of folded) expect(each.endMs - each.startMs).toBeGreaterThanOrEqual(foldedFromMs(0));
    }),
  );
});

test("a place on the axis is a time, and back; later is further right, at any scale", () => {
  fc.assert(
    fc.property(
      some,
      fc.integer({ min: 50, max: 4000 }),
      fc.double({ min: 1, max: 1000, noNaN: true }),
      fc.array(time, { minLength: 2, maxLength: 20 }),
      (work, width, factor, times) => {
        const stretches = foldIdle(work, [], whole);
        const fit = fitWhole(stretches, width);
        const axis = axisOf(stretches, fit.pxPerMs * factor, fit);
        for (const piece of axis.pieces) expect(piece.width).toBeGreaterThan(0);
        const places = times.sort((a, b) => a - b).map((ms) => axis.xOf(ms));
        places.forEach((x, index) => {
          expect(x).toBeGreaterThanOrEqual(places[index - 1] ?? 0);
          expect(axis.msOf(x)).toBeCloseTo(times[index] as number, -1);
        });
        expect(axis.xOf(whole.endMs + 1000)).toBeGreaterThan(axis.xOf(whole.endMs));
      },
    ),
  );
});

test("everything fits into the width, however many gaps there are; a gap is at most as wide as it is drawn", () => {
  fc.assert(
    fc.property(some, fc.integer({ min: 50, max: 4000 }), (work, width) => {
      const stretches = foldIdle(work, [], whole);
      const fit = fitWhole(stretches, width);
      const axis = axisOf(stretches, fit.pxPerMs, fit);
      const isOnlyAGap = stretches.every(({ isFolded }) => isFolded);
      if (!isOnlyAGap) expect(axis.width).toBeCloseTo(width, 3);
      for (const { isFolded, width: wide } of axis.pieces) if (isFolded) expect(wide).toBeLessThanOrEqual(FOLD_PX);
    }),
  );
});

test("a night between two turns is 40 px, and so is a night until a person answers", () => {
  const minutes = (from: number, to: number) => ({ startMs: START_MS + from * 60_000, endMs: START_MS + to * 60_000 });
  const stretches = foldIdle([minutes(0, 10), minutes(610, 620)], [], { ...minutes(0, 620) });
  expect(stretches.map(({ isFolded }) => isFolded)).toEqual([false, true, false]);
  const asked = foldIdle([minutes(0, 620)], [minutes(10, 610)], { ...minutes(0, 620) });
  expect(asked.map(({ isFolded }) => isFolded)).toEqual([false, true, false]);
  const fit = fitWhole(stretches, 800);
  expect(axisOf(stretches, fit.pxPerMs, fit).pieces[1]?.width).toBe(FOLD_PX);
});
