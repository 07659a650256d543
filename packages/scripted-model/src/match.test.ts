import { expect, test } from "vitest";
import { Attempts } from "./match.ts";

test("attempts are counted for each conversation separately, and the least recently seen one is forgotten", () => {
  const attempts = new Attempts(2);
  expect(["a", "b", "a", "c", "a", "b"].map((key) => attempts.next(key))).toEqual([1, 1, 2, 1, 3, 1]);
});
