import { expect, test } from "vitest";
import { attentionLines, firstLine, nowLines, queueLines } from "./now-text.ts";
import { NOW, T0, VERDICT } from "./sample-now.ts";

test("a session is shown with its verdict, what to do, its steps with their ages, its queue and its cost", () => {
  expect(nowLines(NOW)).toEqual([
    "ses_a  Fix the build",
    "quiet for 1 m 40 s (running; rule step_quiet, from 1 m on)",
    "The model `m` has not begun its answer. More than 1 m is unusual.",
    "next: Watch whether it continues; if not, abort it and send the message again. valet watch ses_a",
    "running  message msg_1  1 m 40 s",
    "  model m  1 m 40 s  no text yet, last byte 1 s ago",
    "  tool bash  40 s  limit 2 m, no output yet",
    "queued  message msg_2  1 m 40 s  runner_busy  channel other",
    "and 2 more in the queue",
    "cost $0.7500",
  ]);
});

test("a start says what it does, and its place in line", () => {
  const start = {
    kind: "spawn",
    since: T0,
    age_ms: 100_000,
    stage: "git_setup",
    doing: "`git clone` fetches u",
  } as const;
  const lines = nowLines({ ...NOW, running: [], queue: [], queueLength: 0, start, capacityPlace: 2, cost_usd: null });
  expect(lines.slice(4)).toEqual([
    "sandbox start  1 m 40 s  `git clone` fetches u",
    "place 2 in line for a sandbox",
    "cost unknown",
  ]);
});

test("attention has for each session its sentence and the command", () => {
  expect(attentionLines([])).toEqual(["Nothing needs attention."]);
  const item = { sessionId: "ses_a", title: null, repoUrl: "https://git.example/x", branch: null, verdict: VERDICT };
  expect(attentionLines([item])).toEqual([
    "ses_a  quiet for 1 m 40 s  https://git.example/x",
    "  The model `m` has not begun its answer. More than 1 m is unusual.",
    "  next: Watch whether it continues; if not, abort it and send the message again. valet watch ses_a",
  ]);
});

test("a queue shows what runs, and what waits with its reason", () => {
  expect(queueLines({ ...NOW, running: [], queue: [], queueLength: 0 })).toEqual([
    "The queue is empty, and nothing runs.",
  ]);
  expect(queueLines(NOW).slice(-2)).toEqual([
    "queued   message msg_2  1 m 40 s  runner_busy  channel other",
    "and 2 more jobs",
  ]);
});

test("a list cuts a text to its first line", () => {
  expect(firstLine("one\ntwo")).toBe("one …");
  expect(firstLine("x".repeat(70))).toBe(`${"x".repeat(59)}…`);
  expect(firstLine(" short ")).toBe("short");
});
