import { expect, test } from "vitest";
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
