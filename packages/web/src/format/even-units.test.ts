import fc from "fast-check";
import { expect, test } from "vitest";
import { evenUnits, formatUnits, unitOf } from "./even-units.ts";

test.each([
  [460, 100, "46.0 s"],
  [0, 100, "<0.1 s"],
  [1, 100, "0.1 s"],
  [600, 100, "1 m 00.0 s"],
  [1120, 100, "1 m 52.0 s"],
  [35_999, 100, "59 m 59.9 s"],
  [0, 1000, "<1 s"],
  [59, 1000, "59 s"],
  [3_725, 1000, "1 h 02 m 05 s"],
  [90_000, 1000, "25 h 00 m 00 s"],
])("%i units of %i ms are %s", (units, unitMs, text) => {
  expect(formatUnits(units, unitMs).replaceAll("\u00a0", " ")).toBe(text);
});

/** Reads a figure back, in ms. */
function read(text: string): number {
  if (text.startsWith("<")) return 0;
  const factors: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000 };
  return [...text.matchAll(/([\d.]+)\u00a0([hms])/g)].reduce(
    (sum, [, figure, unit]) => sum + Math.round(Number(figure) * (factors[unit ?? ""] ?? 0)),
    0,
  );
}

test("what is shown of the parts adds up to what is shown of the whole", () => {
  const parts = fc.array(fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 9e6 })), {
    minLength: 1,
  });
  fc.assert(
    fc.property(parts, (ms) => {
      const wholeMs = ms.reduce((sum, each) => sum + each, 0);
      const unitMs = unitOf(wholeMs);
      const units = Math.round(wholeMs / unitMs);
      const shown = evenUnits(ms, units);
      const sumMs = shown.reduce((sum, each) => sum + read(formatUnits(each, unitMs)), 0);
      expect(sumMs).toBe(read(formatUnits(units, unitMs)));
      for (const [index, each] of shown.entries()) {
        expect(Math.abs(each - (ms[index] ?? 0) / unitMs)).toBeLessThan(2);
      }
    }),
  );
});
