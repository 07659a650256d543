import { expect, test } from "vitest";
import { parseChangesSearch } from "./changes-search.ts";

test.each([
  [
    { from: "first", to: "msg_1", file: "a b" },
    { from: "first", to: "msg_1", file: "a b" },
  ],
  [{ from: "", to: "../x", file: "" }, {}],
  [{ from: 1, to: ["x"], file: null }, {}],
])("%j is read as %j", (search, read) => {
  expect(parseChangesSearch(search)).toEqual(read);
});
