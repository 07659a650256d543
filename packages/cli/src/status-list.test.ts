import { expect, test } from "vitest";
import { VERDICT } from "./sample-now.ts";
import { statusLines } from "./status-list.ts";

const line =
  "ses_a  quiet                     1 m 40 s  The model `m` has not begun its answer. More than 1 m is unusual.";

test("in a pipe, and on a wide terminal, each session is a line", () => {
  expect(statusLines([{ sessionId: "ses_a", verdict: VERDICT }])).toEqual([line]);
  expect(statusLines([{ sessionId: "ses_a", verdict: VERDICT }], line.length)).toEqual([line]);
});

test("on a narrow terminal what is too long is below, between words", () => {
  expect(statusLines([{ sessionId: "ses_a", verdict: VERDICT }], 60)).toEqual([
    "ses_a  quiet for 1 m 40 s",
    "  The model `m` has not begun its answer. More than 1 m is",
    "  unusual.",
  ]);
});
