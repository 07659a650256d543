import { expect, test } from "vitest";
import type { Schemas } from "../../api/client.ts";
import { choicesOf, inboxRows, inItsGroup, restText } from "./inbox-groups.ts";

type Session = Schemas["SessionView"];

function session(id: string, more: Partial<Session> = {}): Session {
  return {
    id,
    status: "running",
    models: [],
    queueMode: "followup",
    idleTimeoutMs: 1,
    agent: "idle",
    queueLength: 0,
    generation: 1,
    permissions: [],
    questions: [],
    createdAt: "2026-11-26T12:00:00.000Z",
    updatedAt: "2026-11-26T12:00:00.000Z",
    ...more,
  };
}

function needs(sessionId: string): Schemas["AttentionItem"] {
  const verdict = {
    state: "stuck" as const,
    since: "2026-11-26T12:00:00.000Z",
    why: "The tool `bash` has not ended.",
    nextStep: "Abort it.",
    command: null,
    rule: "tool_overran" as const,
    threshold_ms: null,
    value_ms: 1,
  };
  return { sessionId, title: "From attention", repoUrl: null, branch: null, verdict };
}

const shown = ({ rows }: ReturnType<typeof inboxRows>) => rows.map(({ id, group }) => `${group} ${id}`);

test("what needs somebody comes first, once, also if it is on no page of the list; then what runs, then the rest", () => {
  const sessions = [
    session("ses_idle"),
    session("ses_stuck", { agent: "busy" }),
    session("ses_busy", { agent: "busy" }),
    session("ses_queued", { queueLength: 1, agent: "none", status: "hibernated" }),
    session("ses_start", { status: "starting", agent: "none" }),
    session("ses_ended", { status: "terminated", agent: "none" }),
    session("ses_failed", { status: "error", queueLength: 2, agent: "none" }),
  ];
  expect(shown(inboxRows([needs("ses_far"), needs("ses_stuck")], sessions, {}))).toEqual([
    "needs ses_far",
    "needs ses_stuck",
    "running ses_busy",
    "running ses_queued",
    "running ses_start",
    "rest ses_idle",
    "rest ses_ended",
    "rest ses_failed",
  ]);
});

test("a session that two pages of the list have is one row", () => {
  expect(shown(inboxRows([], [session("ses_a"), session("ses_a")], {}))).toEqual(["rest ses_a"]);
});

test("what the API says again without a change has the same row, also where it is held, so it is not drawn again", () => {
  const [needy, calm, busy] = [needs("ses_far"), session("ses_a"), session("ses_b", { agent: "busy" })];
  const before = inboxRows([needy], [calm, busy], {}).rows;
  const after = inboxRows([needy], [calm, session("ses_b", { agent: "busy", queueLength: 1 })], {}).rows;
  expect(after.map((row, index) => row === before[index])).toEqual([true, false, true]);
  expect(after.map((row, index) => inItsGroup(row, before[index] ?? row) === row)).toEqual([true, true, true]);
  // What the lists say of a session that needs somebody is part of its row.
  const [found] = inboxRows([needy], [session("ses_far", { model: "x/a" })], {}).rows;
  expect([found?.session?.model, before[0]?.session]).toEqual(["x/a", undefined]);
  const [calmRow] = inboxRows([], [calm], {}).rows;
  expect(calmRow && found && inItsGroup(calmRow, found)).toMatchObject({ id: "ses_a", group: "needs" });
});

test("a search hides rows of all groups, and says how many; it finds the reason of what needs somebody", () => {
  const found = inboxRows([needs("ses_far")], [session("ses_a", { title: "Release" }), session("ses_b")], {
    q: "bash",
  });
  expect([shown(found), found.hidden]).toEqual([["needs ses_far"], 2]);
});

test("filters offer each value once", () => {
  const sessions = [
    session("a", { model: "x/b" }),
    session("b", { model: "x/a" }),
    session("c", { model: "x/b" }),
    session("d"),
  ];
  expect(choicesOf(sessions, "model")).toEqual(["x/a", "x/b"]);
});

test("the rest says what it is", () => {
  expect(restText(session("a", { status: "terminated", terminatedBy: "mira" }))).toBe("Terminated by mira.");
  expect(restText(session("a", { status: "hibernated", agent: "none" }))).toBe("Hibernated; a message wakes it.");
  expect(restText(session("a"))).toBe("Idle; it waits for a message.");
});
