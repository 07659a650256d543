import { expect, test } from "vitest";
import { parseSessionSearch } from "./session-search.ts";

test("a selection is read from the URL; what is malformed counts as absent", () => {
  const span = "00f067aa0ba902b7";
  expect(parseSessionSearch({ message: "m-1", span, channel: "# main", tab: "timeline" })).toEqual({
    message: "m-1",
    span,
    channel: "# main",
    tab: "timeline",
  });
  const bad = { message: "<img onerror>", span: "xyz", channel: "c".repeat(129), tab: "other", more: 1 };
  expect(parseSessionSearch(bad)).toEqual({});
  expect(parseSessionSearch({ message: {}, span: ["a"], channel: "", tab: null })).toEqual({});
});
