import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "./duration-arguments.ts";

test("durations are read and said with units that people know", () => {
  expect(["30", "500ms", "1.5m", "90d"].map((text) => parseDuration(text, "s"))).toEqual([
    30_000, 500, 90_000, 7_776_000_000,
  ]);
  expect(["", "5 parsecs", "-1s", "1e3"].map((text) => parseDuration(text, "s"))).toEqual(Array(4).fill(undefined));
  expect([300, 30_000, 900_000, 7_200_000].map(formatDuration)).toEqual(["300 ms", "30 s", "15 min", "2 h"]);
});
