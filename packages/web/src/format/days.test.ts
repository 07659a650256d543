import { expect, test } from "vitest";
import { daysOf, dayText } from "./days.ts";

test("a period's days are all there, the last one if a part of it is in the period", () => {
  const days = daysOf("2026-11-29T22:00:00.000Z", "2026-12-01T00:00:00.001Z");
  expect(days).toEqual(["2026-11-29", "2026-11-30", "2026-12-01"]);
  expect(daysOf("2026-11-29T22:00:00.000Z", "2026-11-30T00:00:00.000Z")).toEqual(["2026-11-29"]);
});

test("of a very long period the last days are there", () => {
  const days = daysOf("1970-01-01T00:00:00.000Z", "2026-11-30T00:00:00.000Z");
  expect(days).toHaveLength(400);
  expect(days.at(-1)).toBe("2026-11-29");
});

test("a day is written with its month", () => expect(dayText("2026-11-09")).toBe("9\u00a0Nov"));
