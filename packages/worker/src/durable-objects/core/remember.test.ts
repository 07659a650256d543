import { expect, test, vi } from "vitest";
import { remember } from "./remember.ts";

test("a result is computed once, also one that is undefined, and only the last ones are kept", () => {
  const lengthOf = vi.fn((text: string) => text.length || undefined);
  const remembered = remember(lengthOf);
  expect([remembered("abc"), remembered(""), remembered("abc"), remembered("")]).toEqual([3, undefined, 3, undefined]);
  expect(lengthOf).toHaveBeenCalledTimes(2);
  for (let each = 0; each < 100; each++) remembered(`${each}`);
  expect(remembered("abc")).toBe(3);
  expect(lengthOf).toHaveBeenCalledTimes(103);
  expect(remembered("99")).toBe(2);
  expect(lengthOf).toHaveBeenCalledTimes(103);
});
