import { expect, test } from "vitest";
import { whyEveryMs } from "./why-interval.ts";

test.each([
  ["queued", 0, 2_000],
  ["running", 59_999, 2_000],
  ["running", 60_000, 5_000],
  ["running", 3_600_000, 15_000],
  ["ended", 10, false],
] as const)("the answer about a message that is %s for %i ms is read every %s ms", (state, wall_ms, everyMs) => {
  expect(whyEveryMs({ state, time: { wall_ms } })).toBe(everyMs);
});
