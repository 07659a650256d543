import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contexts } from "../../test/w3c-arbitraries.ts";
import { checkContext } from "./check-context.ts";
import { INVALID_CONTEXT } from "./context.ts";

const VALID = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 3,
  traceState: "vendor=1",
  isRemote: true,
};

test("a valid context comes out as a copy, and nothing else of it", () => {
  expect(checkContext({ ...VALID, extra: 1 })).toStrictEqual(VALID);
  expect(checkContext(VALID)).not.toBe(VALID);
  fc.assert(
    fc.property(contexts, (context) => {
      expect(checkContext(context)).toStrictEqual(context);
    }),
  );
});

test.each([
  [undefined],
  [null],
  ["text"],
  [[]],
  [{}],
  [INVALID_CONTEXT],
  [{ ...VALID, traceId: "0".repeat(32) }],
  [{ ...VALID, traceId: VALID.traceId.toUpperCase() }],
  [{ ...VALID, traceId: [VALID.traceId] }],
  [{ ...VALID, spanId: `${VALID.spanId}\n` }],
  [{ ...VALID, spanId: 1 }],
])("%o is no context", (input) => {
  expect(checkContext(input)).toBeUndefined();
});

describe("what is unusable beside valid ids becomes nothing", () => {
  test.each([
    ["traceFlags", 0xff, 3],
    ["traceFlags", 4, 0],
    ["traceFlags", "1", 0],
    ["traceFlags", 1n, 0],
    ["traceFlags", 0.5, 0],
    ["traceFlags", undefined, 0],
    ["traceState", "a=1\r\nx: y", ""],
    ["traceState", { get: () => "" }, ""],
    ["traceState", undefined, ""],
    ["isRemote", 1, false],
    ["isRemote", undefined, false],
  ])("%s %o", (field, value, expected) => {
    expect(checkContext({ ...VALID, [field]: value })).toStrictEqual({ ...VALID, [field]: expected });
  });
});
