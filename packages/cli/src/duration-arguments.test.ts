import { expect, test } from "vitest";
import { endOf } from "./commands/token.ts";
import { parseDuration, timeOf } from "./duration-arguments.ts";

const NOW_MS = Date.parse("2026-11-27T12:00:00Z");

test("durations are read with units that people know", () => {
  expect(["30", "500ms", "1.5m", "90d"].map((text) => parseDuration(text, "s"))).toEqual([
    30_000, 500, 90_000, 7_776_000_000,
  ]);
  expect(["", "5 parsecs", "-1s", "1e3"].map((text) => parseDuration(text, "s"))).toEqual(Array(4).fill(undefined));
});

test.each([
  ["24h", "2026-11-26T12:00:00.000Z"],
  ["2026-11-27", "2026-11-27T00:00:00.000Z"],
  ["2026-11-27T08:00:00Z", "2026-11-27T08:00:00.000Z"],
  ["2026-11-27 08:00:00.5+09:00", "2026-11-26T23:00:00.500Z"],
])("a time is an age or an ISO time: %s", (text, time) => {
  expect(timeOf("--since", text, NOW_MS)).toBe(time);
});

test.each([
  "7",
  "40",
  "-1",
  "week 2",
  "Nov 27",
  "11/27/2026",
  "2026-02-30",
  "2026-11-31T00:00:00Z",
  "2026-11-27T25:00",
])("what Date.parse guesses from any other text is no time: %s", (text) => {
  expect(() => timeOf("--since", text, NOW_MS)).toThrow(`--since: ${text} is no time.`);
  expect(() => endOf(text, NOW_MS)).toThrow(`--expires: ${text} is no time.`);
});
