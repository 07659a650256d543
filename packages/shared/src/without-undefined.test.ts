import { expect, test } from "vitest";
import { withoutUndefined } from "./without-undefined.ts";

test("undefined fields are absent, and all others are unchanged", () => {
  const given: { a: number; b?: string | undefined; c: null; d: boolean | undefined } = {
    a: 0,
    b: undefined,
    c: null,
    d: false,
  };
  const taken: { a: number; b?: string; c: null; d?: boolean } = withoutUndefined(given);
  expect(taken).toEqual({ a: 0, c: null, d: false });
  expect(Object.keys(taken)).toEqual(["a", "c", "d"]);
});
