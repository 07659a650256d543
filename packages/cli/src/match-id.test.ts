import { expect, test } from "vitest";
import { durationText, parseDuration } from "./ages.ts";
import { matchId } from "./match-id.ts";

const ids = [{ id: "tok_abc1", note: "laptop" }, { id: "tok_abd2" }, { id: "tok_a" }];

test("an id is found by its beginning, with or without its prefix; the whole id comes first", () => {
  expect(matchId("token", "tok_abc", ids, "")).toBe("tok_abc1");
  expect(matchId("token", "abd", ids, "")).toBe("tok_abd2");
  expect(matchId("token", "tok_a", ids, "")).toBe("tok_a");
});

test("an ambiguous beginning is refused with the candidates, and an unknown one with what to do", () => {
  expect(() => matchId("token", "ab", ids, "")).toThrow(
    /^2 tokens begin with ab: .*\n {2}tok_abc1 {2}laptop\n {2}tok_abd2$/,
  );
  expect(() => matchId("token", "x", ids, "See the list.")).toThrow("No token begins with x. See the list.");
});

test("durations are read and said with units that people know", () => {
  expect(["30", "500ms", "1.5m", "90d"].map((text) => parseDuration(text, "s"))).toEqual([
    30_000, 500, 90_000, 7_776_000_000,
  ]);
  expect(["", "5 parsecs", "-1s", "1e3"].map((text) => parseDuration(text, "s"))).toEqual(Array(4).fill(undefined));
  expect([300, 30_000, 900_000, 7_200_000].map(durationText)).toEqual(["300 ms", "30 s", "15 min", "2 h"]);
});
