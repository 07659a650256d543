import { expect, test } from "vitest";
import { summaryLine } from "./trace.ts";

const summary = {
  traceId: "18a182ab3acb8fb451ea1dcb03729ae9",
  name: "POST /api/sessions/:id/messages",
  startedAt: "2026-01-01T00:00:00.000Z",
  duration_ms: 1100,
  spans: 4,
  openSpans: 0,
  errors: 0,
};

test("a finished trace has a duration", () => {
  expect(summaryLine({ ...summary, errors: 2 })).toBe(
    "18a182ab3acb8fb451ea1dcb03729ae9  2026-01-01T00:00:00.000Z      1.1 s  POST /api/sessions/:id/messages  (4 spans, 2 errors)",
  );
});

test("an open trace has no duration, even if its ended spans were short", () => {
  expect(summaryLine({ ...summary, openSpans: 4 })).toBe(
    "18a182ab3acb8fb451ea1dcb03729ae9  2026-01-01T00:00:00.000Z       open  POST /api/sessions/:id/messages  (4 of 8 spans open)",
  );
});

test("open spans are counted as the trace's tree counts them", () => {
  expect(summaryLine({ ...summary, spans: 1, openSpans: 2, errors: 1 })).toMatch(/ {2}\(2 of 3 spans open, 1 error\)$/);
  expect(summaryLine({ ...summary, spans: 0, openSpans: 1 })).toMatch(/ {2}\(1 of 1 span open\)$/);
});

test("one span, and one error, are in the singular", () => {
  expect(summaryLine({ ...summary, spans: 1, errors: 1 })).toMatch(/ {2}\(1 span, 1 error\)$/);
});
