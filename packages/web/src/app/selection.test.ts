import { expect, test } from "vitest";
import { parseSessionSearch, selectionAt, selectsSame } from "./selection.ts";

test("a selection is read from the URL; what is malformed counts as absent", () => {
  const span = "00f067aa0ba902b7";
  expect(parseSessionSearch({ message: "m-1", span, channel: "# main", tab: "timeline" })).toEqual({
    message: "m-1",
    span,
    channel: "# main",
    tab: "timeline",
  });
  const bad = { message: "<img onerror>", span: "xyz", trace: span, channel: "c".repeat(129), tab: "other", more: 1 };
  expect(parseSessionSearch(bad)).toEqual({});
  expect(parseSessionSearch({ message: {}, span: ["a"], channel: "", tab: null })).toEqual({});
});

const [TRACE, SPAN] = ["a".repeat(32), "00f067aa0ba902b7"];

test("what is selected on one page of a session stays selected on the others", () => {
  const selected = { message: "msg_1", span: SPAN, trace: TRACE, channel: "review" };
  const here = selectionAt({ page: "session", search: { ...selected, tab: "timeline" } }, {});
  expect(here).toEqual(selected);
  expect(selectionAt({ page: "trace", traceId: TRACE, search: { span: SPAN } }, here)).toEqual(selected);
  expect(selectionAt({ page: "why", messageId: "msg_1", search: {} }, here)).toEqual(selected);
  expect(selectionAt({ page: "why", search: {} }, here)).toEqual(selected);
  expect(selectionAt({ page: "changes", search: { from: "msg_1", to: "msg_1" } }, here)).toEqual(selected);
  expect(selectionAt({ page: "changes", search: { from: "first", to: "first" } }, here)).toEqual(selected);
});

test("what another page selects takes its place, and nothing of the old one is left but the channel", () => {
  const before = { message: "msg_1", span: SPAN, trace: TRACE, channel: "review" };
  const other = "b".repeat(32);
  expect(selectionAt({ page: "trace", traceId: other, search: {} }, before)).toEqual({
    trace: other,
    channel: "review",
  });
  expect(selectionAt({ page: "trace", traceId: TRACE, search: {} }, before)).toEqual({
    message: "msg_1",
    trace: TRACE,
    channel: "review",
  });
  expect(selectionAt({ page: "why", messageId: "msg_2", search: {} }, before)).toEqual({
    message: "msg_2",
    channel: "review",
  });
  expect(selectionAt({ page: "session", search: {} }, before)).toEqual({});
});

test("a second press on what is selected is one on the same thing", () => {
  expect(selectsSame({ message: "msg_1", trace: TRACE }, { message: "msg_1" })).toBe(true);
  expect(selectsSame({ trace: TRACE }, { trace: "b".repeat(32) })).toBe(false);
  expect(selectsSame({ message: "msg_1", span: SPAN }, { message: "msg_1" })).toBe(false);
});
