import { expect, test } from "vitest";
import { stateOf } from "./check-host.ts";

const URL = "http://127.0.0.1:1";
const problem = { sessions: 1, waitingSpans: 3, since: "2026-01-01T00:00:00.000Z", reason: "HTTP 401" };

test.each([
  ["whose database answers", { export: { sessions: 0, waitingSpans: 0 } }, "ok", "runs at"],
  ["before its migrations", {}, "ok", "runs at"],
  ["whose disk is full", { database: "full" as const }, "missing", "its disk is full: make room"],
  ["whose database does not answer", { database: "unavailable" as const }, "missing", "its database does not answer"],
  ["whose spans do not arrive", { export: problem }, "missing", "HTTP 401; 3 are waiting"],
])("a host %s", (_what, health, state, detail) => {
  expect(stateOf(URL, { status: "ok", ...health })).toEqual({ state, detail: expect.stringContaining(detail) });
});
