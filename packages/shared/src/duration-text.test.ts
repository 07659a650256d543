import fc from "fast-check";
import { expect, test } from "vitest";
import { ageText, breakdownText, durationText, limitText } from "./duration-text.ts";

const HOUR = 3_600_000;

test.each([
  [0, "0 ms"],
  [375, "375 ms"],
  [999.4, "999 ms"],
  [999.6, "1.0 s"],
  [6_400, "6.4 s"],
  [9_960, "10 s"],
  [46_000, "46 s"],
  [59_600, "1 m 00 s"],
  [134_000, "2 m 14 s"],
  [13 * HOUR + 2 * 60_000, "13 h 02 m"],
  [76 * HOUR, "3 d 04 h"],
  [-38_000, "−38 s"],
])("%d ms is %s", (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([
  [46_120, "46.1 s"],
  [59_949, "59.9 s"],
  [59_960, "1 m 00 s"],
])("in a breakdown %d ms is %s", (ms, text) => {
  expect(breakdownText(ms)).toBe(text);
});

test.each([
  [-5000, "0 s"],
  [999, "0 s"],
  [59_999, "59 s"],
  [24 * HOUR - 1, "23 h 59 m"],
])("an age of %d ms is %s: rounded down, and never negative", (ms, text) => {
  expect(ageText(ms)).toBe(text);
});

test.each([
  [500, "500 ms"],
  [2500, "2.5 s"],
  [5000, "5 s"],
  [45_000, "45 s"],
  [600_000, "10 m"],
  [90 * 60_000, "1 h 30 m"],
  [25 * HOUR, "1 d 01 h"],
  [48 * HOUR, "2 d"],
])("a limit of %d ms is %s", (ms, text) => {
  expect(limitText(ms)).toBe(text);
});

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: HOUR, d: 24 * HOUR };

/** Reads a text back. */
function read(text: string): { ms: number; smallest: number } {
  const words = text.split(" ");
  const figures = words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? ""] as const] : []));
  const smallest = UNITS[figures.at(-1)?.[1] ?? ""] ?? Number.NaN;
  return {
    ms: figures.reduce((sum, [figure, unit]) => sum + Number(figure) * (UNITS[unit] ?? Number.NaN), 0),
    smallest,
  };
}

const lengths = fc.oneof(
  fc.double({ min: 0, max: 1e12, noNaN: true }),
  fc.double({ min: 0, max: 2 * HOUR, noNaN: true }),
);

test("every text has one or two units, and says the duration to its smaller one", () => {
  fc.assert(
    fc.property(lengths, (ms) => {
      for (const text of [durationText(ms), breakdownText(ms), ageText(ms), limitText(ms)]) {
        expect(text).toMatch(/^(?:\d+ ms|\d+(?:\.\d)? s|\d+ [mhd]|\d+ (?:m \d\d s|h \d\d m|d \d\d h))$/);
        const said = read(text);
        expect(Math.abs(said.ms - ms)).toBeLessThanOrEqual(Math.max(said.smallest, text === ageText(ms) ? 1000 : 0));
      }
    }),
  );
});

test("longer is never said to be shorter", () => {
  fc.assert(
    fc.property(lengths, lengths, (a, b) => {
      const [less, more] = a < b ? [a, b] : [b, a];
      for (const text of [durationText, breakdownText, ageText, limitText]) {
        expect(read(text(less)).ms).toBeLessThanOrEqual(read(text(more)).ms);
      }
    }),
  );
});
