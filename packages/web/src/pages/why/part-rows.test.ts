import fc from "fast-check";
import { expect, test } from "vitest";
import type { Schemas } from "../../api/client.ts";
import { courseBars, type PartRow, partRows } from "./part-rows.ts";

type Part = Schemas["WhyPart"];

const part = (detail: string, ms: number, parts: Part[] = []): Part => ({
  ...{ name: "tool", detail, ms, parts, spans: [], spanCount: 0, cause: null },
});

test("rows below an unfolded part follow it, and their bars lie behind each other in its bar", () => {
  const parts = [part("a", 6000, [part("b", 4000), part("c", 2000)]), part("d", 4000, [part("e", 4000)])];
  const { rows, units } = partRows(parts, 10_000, new Set(["/tool:a"]));
  expect(units).toBe(100);
  expect(rows.map(({ id, depth, units, left, width }) => [id, depth, units, left, width])).toEqual([
    ["/tool:a", 0, 60, 0, 60],
    ["/tool:a/tool:b", 1, 40, 0, 40],
    ["/tool:a/tool:c", 1, 20, 40, 20],
    ["/tool:d", 0, 40, 0, 40],
  ]);
});

test("tenths add up on each level, whatever the parts are", () => {
  const leaves = fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(leaves, { minLength: 1, maxLength: 8 }), (lists) => {
      const parts = lists.map((list, index) => {
        const inner = list.map((ms, at) => part(`${at}`, ms));
        return part(`${index}`, sum(list), inner);
      });
      const wallMs = sum(parts.map(({ ms }) => ms));
      const { rows, units } = partRows(parts, wallMs, new Set(lists.map((_, index) => `/tool:${index}`)));
      const shown = (of: readonly PartRow[]) => sum(of.map((row) => row.units));
      expect(shown(rows.filter(({ depth }) => depth === 0))).toBe(units);
      for (const row of rows.filter(({ depth }) => depth === 0)) {
        expect(shown(rows.filter(({ id }) => id.startsWith(`${row.id}/`)))).toBe(row.units);
      }
    }),
  );
});

test("the bars of the course follow each other, and long ones have a text", () => {
  const course = [
    { name: "tool", detail: "bash", ms: 950 },
    { name: "finalize", detail: null, ms: 50 },
  ] as const;
  const bars = courseBars({ wall_ms: 1000, parts: [], course: [...course] });
  expect(bars.map(({ left, width, atMs, hasLabel }) => [left, width, atMs, hasLabel])).toEqual([
    [0, 95, 0, true],
    [95, 5, 950, false],
  ]);
});

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
