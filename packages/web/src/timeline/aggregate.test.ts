import fc from "fast-check";
import { expect, test } from "vitest";
import { drawnItems } from "./aggregate.ts";
import type { Item } from "./items.ts";

const item = fc.record({
  startMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
  lasted: fc.option(fc.double({ min: 0, max: 5e4, noNaN: true }), { freq: 20 }),
  row: fc.integer({ min: 0, max: 2 }),
  state: fc.constantFrom("ok" as const, "failed" as const),
});
const itemsFrom = (all: readonly { startMs: number; lasted: number | null; row: number; state: "ok" | "failed" }[]) =>
  all
    .toSorted((a, b) => a.startMs - b.startMs)
    .map(({ startMs, lasted, row, state }, index): Item => {
      const endMs = lasted === null ? undefined : startMs + lasted;
      return { id: String(index), kind: "tool", isShell: false, startMs, endMs, row, name: "bash", state, label: "" };
    });

test("whatever the scale, every item in view is drawn, alone or with others, and failures stay visible", () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 60 }), fc.double({ min: 1e-3, max: 1e5, noNaN: true }), (all, msPerPx) => {
      const items = itemsFrom(all);
      const drawn = drawnItems(items, { startMs: 0, endMs: 2e6 }, msPerPx);
      expect(drawn.reduce((sum, each) => sum + (each.count ?? 1), 0)).toBe(items.length);
      for (const each of items) {
        const cover = drawn.find(
          (one) =>
            one.row === each.row &&
            one.startMs <= each.startMs &&
            (one.endMs ?? Number.POSITIVE_INFINITY) >= (each.endMs ?? each.startMs) &&
            (each.state !== "failed" || one.state === "failed"),
        );
        expect(cover).toBeDefined();
      }
      for (const one of drawn) expect(one.endMs ?? one.startMs).toBeGreaterThanOrEqual(one.startMs);
    }),
  );
});

test("only what is in view is drawn, also what began long before", () => {
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 60 }),
      fc.double({ min: 0, max: 1e6, noNaN: true }),
      fc.double({ min: 0, max: 1e5, noNaN: true }),
      (all, startMs, length) => {
        const items = itemsFrom(all);
        const view = { startMs, endMs: startMs + length };
        const expected = items.filter(
          (each) => each.startMs <= view.endMs && (each.endMs ?? Number.POSITIVE_INFINITY) >= view.startMs,
        );
        expect(drawnItems(items, view, 1e-4).map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
      },
    ),
  );
});

test("fifty thousand items need no more bars than there is room for", () => {
  const items = itemsFrom(
    Array.from({ length: 50_000 }, (_, index) => ({ startMs: index * 20, lasted: 15, row: 0, state: "ok" as const })),
  );
  expect(drawnItems(items, { startMs: 0, endMs: 1e6 }, 1e6 / 800).length).toBeLessThanOrEqual(4 * 800 + 4);
});
