import { expect, test } from "vitest";
import { isRecent } from "./recent.ts";

test.each([
  ["now", 1000, true],
  ["a moment ago", 999, true],
  ["long ago", 900, false],
  ["later, by a clock that was set back since", 3_601_000, false],
])("%s is recent or not", (_when, sinceMs, recent) => {
  expect(isRecent(sinceMs, 1000, 100)).toBe(recent);
});
