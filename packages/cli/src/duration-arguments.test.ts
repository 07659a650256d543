import { expect, test } from "vitest";
import { parseDuration } from "./duration-arguments.ts";

test("durations are read with units that people know", () => {
  expect(["30", "500ms", "1.5m", "90d"].map((text) => parseDuration(text, "s"))).toEqual([
    30_000, 500, 90_000, 7_776_000_000,
  ]);
  expect(["", "5 parsecs", "-1s", "1e3"].map((text) => parseDuration(text, "s"))).toEqual(Array(4).fill(undefined));
});
