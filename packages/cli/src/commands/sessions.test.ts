import { viewFailure } from "@valet/shared/protocol/failure";
import { viewIncompleteSnapshot, viewRunnerWarning } from "@valet/shared/protocol/warnings";
import { expect, test } from "vitest";
import { familyLines, sessionLines } from "./sessions.ts";

test("a session without a sandbox shows why, and what to do", () => {
  const failure = viewFailure("git_ref_not_found", { stage: "git_setup", attempts: 1 });
  const spent = { turns: 0, cost_usd: 0, tokens_input: 0, tokens_output: 0 };
  const session = { status: "error", agent: "none", createdAt: "2026-01-01T00:00:00.000Z", queueLength: 0 } as const;
  const [, why] = familyLines({ sessions: [{ ...session, ...spent, id: "ses_a", depth: 0, failure }], total: spent });
  expect(why).toBe(
    "   git_ref_not_found: The branch or ref does not exist. Check the spelling of the branch or ref, and create the session again (`--branch`, or `branch` in the API). The start had come to the stage `git_setup`. Valet gave up after 1 attempt.",
  );
});

test("a session that cannot hibernate shows why, and when it retries", () => {
  const times = { since: "2026-01-01T00:00:00.000Z", retryAt: "2026-01-01T00:03:00.000Z" };
  const full = { errorType: "snapshot_failed", detail: "no space left on device", failures: 2, ...times } as const;
  const spent = { turns: 0, cost_usd: 0, tokens_input: 0, tokens_output: 0 };
  const session = {
    status: "running",
    agent: "idle",
    createdAt: times.since,
    queueLength: 0,
    sleepProblem: full,
  } as const;
  const [, why] = familyLines({ sessions: [{ ...session, ...spent, id: "ses_a", depth: 0 }], total: spent });
  expect(why).toBe(
    "   cannot hibernate: snapshot_failed (2 times): no space left on device. Retries at 2026-01-01T00:03:00.000Z. Read the broker's log (`valet up` prints it): the disk may be full, or a file in the workspace cannot be copied.",
  );
  const untimed = { ...session, sleepProblem: { ...full, retryAt: undefined } };
  const [, idle] = familyLines({ sessions: [{ ...untimed, ...spent, id: "ses_a", depth: 0 }], total: spent });
  expect(idle).toContain(
    " on device. It is being retried, or is retried when the session is idle. Read the broker's log",
  );
});

test("a family is shown as a tree with each session's cost and the sum", () => {
  const at = { status: "running", agent: "idle", createdAt: "2026-01-01T00:00:00.000Z" } as const;
  const spent = (turns: number, cost_usd: number) => ({ turns, cost_usd, tokens_input: 100, tokens_output: 10 });
  const sessions = [
    { ...at, ...spent(2, 0.5), id: "ses_a", depth: 0, queueLength: 0, title: "First" },
    { ...at, ...spent(1, 0.25), id: "ses_b", depth: 1, queueLength: 2, parentSessionId: "ses_a" },
  ];
  expect(familyLines({ sessions, total: spent(3, 0.75) })).toEqual([
    "ses_a  running (idle)            2026-01-01T00:00:00.000Z  $0.5000 in 2 turns (100 tokens in, 10 out)  First",
    "└─ ses_b  running (idle, 2 queued)  2026-01-01T00:00:00.000Z  $0.2500 in 1 turn (100 tokens in, 10 out)",
    "total: $0.7500 in 3 turns (100 tokens in, 10 out)",
  ]);
});

test("a family of which not all sessions are listed says how many are not, and what the sum lacks", () => {
  const spent = { turns: 3, cost_usd: 0.75, tokens_input: 1, tokens_output: 2 };
  expect(familyLines({ sessions: [], total: spent, sessions_left_out: 5 })).toEqual([
    "5 further sessions, not listed",
    "total: $0.7500 in 3 turns (1 tokens in, 2 out)",
  ]);
  expect(familyLines({ sessions: [], total: spent, sessions_left_out: 9001, partial: true })).toEqual([
    "more than 9001 further sessions, not listed",
    "total: $0.7500 in 3 turns (1 tokens in, 2 out) of the sessions that were counted; the family has more",
  ]);
});

test("a session whose spans do not reach the backend shows since when and why", () => {
  const since = "2026-01-01T00:00:00.000Z";
  const problem = { since, reason: "HTTP 401", waitingSpans: 12, stopped: true };
  const session = { id: "ses_a", status: "hibernated", agent: "none", createdAt: since, queueLength: 0 };
  const [, line] = sessionLines([{ ...session, exportProblem: problem }], () => "");
  expect(line).toBe(
    `   spans have not reached the backend since ${since}: HTTP 401, 12 waiting; no more retries: \`valet resend\` sends them`,
  );
});

test("a session with a warning shows it, and what to do", () => {
  const warnings = [viewRunnerWarning("git_submodule_failed"), viewIncompleteSnapshot(3)];
  const at = { status: "running", agent: "idle", createdAt: "2026-01-01T00:00:00.000Z", queueLength: 0 } as const;
  const spent = { turns: 0, cost_usd: 0, tokens_input: 0, tokens_output: 0 };
  const [, ...lines] = familyLines({ sessions: [{ ...at, ...spent, id: "ses_a", depth: 0, warnings }], total: spent });
  expect(lines.slice(0, 2)).toEqual([
    "   warning: git_submodule_failed: Some submodules could not be checked out; the agent works without them. Check their URLs: only https and ssh are allowed, and credentials are only used for the repository's own host.",
    "   warning: snapshot_incomplete: 3 files of the session are not in its last snapshot: sockets, devices or other users' files. With the driver `local` the broker's `snapshot.json` of that snapshot lists the first of them.",
  ]);
});

test("a session that waits for a sandbox shows its place in line", () => {
  const spent = { turns: 0, cost_usd: 0, tokens_input: 0, tokens_output: 0 };
  const session = { status: "starting", agent: "starting", createdAt: "2026-01-01T00:00:00.000Z" } as const;
  const sessions = [{ ...session, ...spent, id: "ses_a", depth: 0, queueLength: 1, capacityPlace: 3 }];
  expect(familyLines({ sessions, total: spent })[0]).toContain(
    "ses_a  starting (place 3 in line for a sandbox, 1 queued)",
  );
});

test("an unknown cost is not $0, and an incomplete sum says so", () => {
  const at = { status: "running", agent: "idle", createdAt: "2026-01-01T00:00:00.000Z" } as const;
  const unknown = { turns: 1, cost_usd: null, tokens_input: null, tokens_output: null };
  const total = { turns: 2, cost_usd: 0.5, tokens_input: 100, tokens_output: 10 };
  // The totals of an earlier version's Worker.
  const none = { ...unknown, turns: 2, cost_usd: 0, turns_without_cost: 1 };
  expect(familyLines({ sessions: [], total: none })).toEqual(["total: cost unknown in 2 turns (tokens unknown)"]);
  expect(
    familyLines({
      sessions: [{ ...at, ...unknown, id: "ses_a", depth: 0, queueLength: 0 }],
      total: { ...total, turns_without_cost: 1, turns_without_usage: 1 },
    }),
  ).toEqual([
    "ses_a  running (idle)            2026-01-01T00:00:00.000Z  cost unknown in 1 turn (tokens unknown)",
    "total: at least $0.5000 in 2 turns (at least 100 tokens in, 10 out)",
  ]);
});
