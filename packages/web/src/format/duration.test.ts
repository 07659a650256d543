import { ageText, breakdownText, durationText } from "@valet/shared/duration-text";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatAge, formatDuration } from "./duration.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

const lengths = fc.double({ min: -1e12, max: 1e12, noNaN: true });

test("durations and ages are the shared texts, without line breaks in them", () => {
  fc.assert(
    fc.property(lengths, (ms) => {
      expect(plain(formatDuration(ms))).toBe(durationText(ms));
      expect(plain(formatDuration(ms, true))).toBe(breakdownText(ms));
      expect(plain(formatAge(ms))).toBe(ageText(ms));
      for (const text of [formatDuration(ms), formatDuration(ms, true), formatAge(ms)]) expect(text).not.toContain(" ");
    }),
  );
});

test("what is not known is a dash and never 0", () => {
  for (const unknown of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(formatDuration(unknown)).toBe("–");
    expect(formatAge(unknown)).toBe("–");
  }
});
