import { expect, test } from "vitest";
import { hibernateText, isSettled } from "./hibernate.ts";

const sleepProblem = {
  errorType: "snapshot_failed",
  detail: "files could not be copied: no space left on device",
  failures: 1,
  since: "2026-01-01T00:00:00.000Z",
  retryAt: "2026-01-01T00:01:00.000Z",
} as const;

test("a hibernate that goes on is not told as the one before that failed", () => {
  const session = { id: "ses_1", status: "hibernating" } as const;
  expect(isSettled(session)).toBe(false);
  expect(hibernateText(session)).toBe("It is hibernating. See it: valet status ses_1.");
});

test("a hibernate that fails says why, and when it is tried again", () => {
  const session = { id: "ses_1", status: "running", sleepProblem } as const;
  expect(isSettled(session)).toBe(true);
  expect(hibernateText(session)).toBe(
    "It cannot sleep yet: snapshot_failed: files could not be copied: no space left on device. This is retried at 2026-01-01T00:01:00.000Z.",
  );
  const { retryAt: _, ...untimed } = sleepProblem;
  expect(hibernateText({ ...session, sleepProblem: untimed })).toContain(
    " on device. This is being retried, or is retried when the session is idle.",
  );
});
