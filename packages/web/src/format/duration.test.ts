import fc from "fast-check";
import { expect, test } from "vitest";
import { formatAge, formatDuration } from "./duration.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

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
  [13 * 3_600_000 + 2 * 60_000, "13 h 02 m"],
  [76 * 3_600_000, "3 d 04 h"],
  [-38_000, "−38 s"],
])("%d ms is %s", (ms, text) => {
  expect(plain(formatDuration(ms))).toBe(text);
});

test("a breakdown keeps tenths up to a minute", () => {
  expect(plain(formatDuration(46_120, true))).toBe("46.1 s");
  expect(plain(formatDuration(59_960, true))).toBe("1 m 00 s");
});

test("what is not known is a dash and never 0", () => {
  for (const unknown of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(formatDuration(unknown)).toBe("–");
    expect(formatAge(unknown)).toBe("–");
  }
});

test("an age is rounded down, and never negative", () => {
  expect(plain(formatAge(59_999))).toBe("59 s");
  expect(plain(formatAge(-5_000))).toBe("0 s");
});

test("a duration has at most two units, and no line breaks in it", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (ms) => {
      const words = formatDuration(ms).split("\u00a0");
      expect(words.length === 2 || words.length === 4).toBe(true);
      expect(formatDuration(ms)).not.toContain(" ");
    }),
  );
});
