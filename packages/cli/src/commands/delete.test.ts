import type { FamilyView } from "@valet/shared/protocol/session-api";
import { expect, test } from "vitest";
import { lossText } from "./delete.ts";
import { exportedText } from "./export.ts";

const TOTAL = { turns: 3, cost_usd: 1.5, tokens_input: 1, tokens_output: 1 };
const member = (more: object) => ({ id: "ses_1", status: "hibernated", ...more }) as FamilyView["sessions"][number];

test("what a deletion loses is said: the conversation with its cost, and the child sessions", () => {
  expect(lossText({ sessions: [member({})], total: TOTAL })).toBe(
    "The session is hibernated. Its sandbox and files, its conversation (3 turns, $1.5000) and its traces will be lost.",
  );
  const sessions = [member({ title: "Fix it", status: "running" }), member({}), member({})];
  expect(lossText({ sessions, total: { ...TOTAL, turns: 1, cost_usd: null, turns_without_cost: 1 } })).toBe(
    'The session "Fix it" is running. Its sandbox and files, its conversation (1 turn, cost unknown) and its traces, ' +
      "and its 2 child sessions with theirs will be lost.",
  );
  expect(lossText({ sessions: [member({}), member({})], total: TOTAL, sessions_left_out: 1999 })).toMatch(
    /, and its 2000 child sessions with theirs will be lost\.$/,
  );
});

test("what an export has is said, and that a session which works adds to it", () => {
  const counts = { messages: 2, turns: 1, workflows: 0, spans: 40 };
  expect(exportedText("/a", { status: "terminated", counts })).toBe(
    "/a: 2 messages, 1 turn, 0 workflows and 40 spans.",
  );
  expect(exportedText("/a", { status: "running", counts })).toMatch(/ The session is running: what it adds/);
});
