import fc from "fast-check";
import { expect, test } from "vitest";
import { parseTraceSearch } from "../pages/trace/trace-search.ts";
import { parseSearch, stringifySearch } from "./search-params.ts";
import { parseSessionSearch } from "./selection.ts";

const ids = fc.oneof(
  fc.constantFrom("57171582e2699139", "0000000000000001", "1234567890123456", "9999999999999999", "00000000000000e1"),
  fc.stringMatching(/^[0-9a-f]{16}$/),
);

test("the id of a span is read from a link as it was written, also if it looks like a number", () => {
  fc.assert(
    fc.property(ids, (span) => {
      expect(parseSessionSearch(parseSearch(`?span=${span}`))).toEqual({ span });
      expect(parseTraceSearch(parseSearch(`?span=${span}`))).toEqual({ span });
      expect(stringifySearch({ span })).toBe(`?span=${span}`);
    }),
  );
});

test.each(["12", "true", "1e5", '"quoted"', "{}", "a b&c=d", "null", "007"])(
  "the text %s stays that text",
  (channel) => {
    expect(parseSessionSearch(parseSearch(stringifySearch({ channel })))).toEqual({ channel });
  },
);
