import type { ResentSpans } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { flushSpans, leftLines } from "./flush-spans.ts";

const OLD = "2020-01-01T00:00:00.000Z";
const PROBLEM = { since: OLD, reason: "HTTP 401", waitingSpans: 3, stopped: true };

function session(id: string, more: Partial<SessionView> = {}): SessionView {
  return { id, status: "running", updatedAt: OLD, ...more } as SessionView;
}

/** Returns an API with these sessions and their answers to `resend`. */
function api(sessions: SessionView[], answer: (id: string) => Promise<ResentSpans>) {
  const flushed: string[] = [];
  return {
    flushed,
    sessions: async () => sessions,
    resend: (id: string) => {
      flushed.push(id);
      return answer(id);
    },
  };
}

const sent = async () => ({ exported: true, waitingSpans: 0 });

test("every session that may have waiting spans is flushed: awake, recent, or with an export problem", async () => {
  const all = api(
    [
      session("awake"),
      session("asleep", { status: "hibernated" }),
      session("ended", { status: "terminated" }),
      session("ended just now", { status: "terminated", updatedAt: new Date().toISOString() }),
      session("given up", { status: "hibernated", exportProblem: PROBLEM }),
    ],
    sent,
  );
  const left = await flushSpans(all, 10_000);
  expect(all.flushed.toSorted()).toEqual(["awake", "ended just now", "given up"]);
  expect(left).toEqual({ sessions: 0, waitingSpans: 0, unanswered: 0 });
  expect(leftLines(left, true)).toEqual([]);
});

test("the report counts the waiting spans and gives the reason of the session with most of them", async () => {
  const sessions = ["a", "b", "c"].map((id) => session(id));
  const answers: Record<string, ResentSpans> = {
    a: { exported: true, waitingSpans: 2, reason: "timeout" },
    b: { exported: true, waitingSpans: 40, reason: "HTTP 401", hint: "the key is wrong" },
    c: { exported: true, waitingSpans: 0 },
  };
  const left = await flushSpans(
    api(sessions, async (id) => answers[id] as ResentSpans),
    10_000,
  );
  expect(leftLines(left, true)).toEqual([
    "42 spans of 2 sessions did not reach the backend: HTTP 401 (the key is wrong).",
    expect.stringMatching(/valet resend --all/),
  ]);
});

test("the flush ends in time, whatever hangs or fails", async () => {
  const never = api(
    Array.from({ length: 30 }, (_, i) => session(`s${i}`)),
    () => new Promise(() => {}),
  );
  const left = await flushSpans(never, 50);
  expect(left).toMatchObject({ waitingSpans: 0, unanswered: 30 });
  // Only the first batch was started: the flush starts no further calls in the background.
  expect(never.flushed.length).toBeLessThan(30);
  expect(leftLines(left, false).at(-1)).toContain("--state");
  expect(leftLines(left, true)[0]).toContain("30 sessions");

  const failing = api([session("a")], () => Promise.reject(new Error("gone")));
  expect(await flushSpans(failing, 10_000)).toMatchObject({ unanswered: 1 });
  const away = { ...failing, sessions: () => Promise.reject(new Error("away")) };
  expect(await flushSpans(away, 10_000)).toMatchObject({ unanswered: 0, waitingSpans: 0 });
  expect(await flushSpans({ ...failing, sessions: () => new Promise(() => {}) }, 50)).toMatchObject({ unanswered: 0 });
});
