import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import type { Message } from "./conversation.ts";
import { JobFigures } from "./job-figures.tsx";

/** Returns how a message ended, and its figures, as text. */
function figuresOf(more: Partial<Message>): string {
  const job = { id: "msg_1", status: "done", ...more } as Message;
  const markup = renderToStaticMarkup(createElement(JobFigures, { job, turns: [] }));
  return markup.replace(/<[^>]*>/g, "").trim();
}

test.each([
  ["error", "failed"],
  ["aborted", "aborted"],
  ["superseded", "superseded"],
] as const)("a message that was never dispatched says only how it ended: %s", (outcome, word) => {
  expect(figuresOf({ outcome })).toBe(word);
});

test("a message that was dispatched says how it ended, and how long that took", () => {
  const took = { dispatchedAt: "2026-11-27T12:00:01.000Z", endedAt: "2026-11-27T12:00:03.000Z" };
  expect(figuresOf({ outcome: "error", ...took })).toMatch(/^failed · [\d.]+/);
});
