import { expect, test } from "vitest";
import { placeholderOf } from "./composer-words.ts";
import { jobSummary } from "./job-summary.ts";
import { possibleActions } from "./possible-actions.ts";

const SESSION = { status: "running", queueLength: 0, agent: "idle" } as const;
const RUNNING = { running: [{}] } as never;

test("what the API would refuse is not offered", () => {
  const offered = (...args: Parameters<typeof possibleActions>) =>
    Object.entries(possibleActions(...args)).flatMap(([name, can]) => (can ? [name] : []));
  expect(offered(SESSION, undefined)).toEqual(["hibernate", "terminate", "delete"]);
  expect(offered({ ...SESSION, agent: "busy", queueLength: 2 }, undefined)).toEqual([
    "abort",
    "clear",
    "terminate",
    "delete",
  ]);
  expect(offered(SESSION, RUNNING)).toEqual(["abort", "terminate", "delete"]);
  expect(offered({ ...SESSION, status: "hibernated", agent: "none" }, undefined)).toEqual([
    "wake",
    "terminate",
    "delete",
  ]);
  expect(offered({ ...SESSION, status: "terminated", agent: "none" }, RUNNING)).toEqual(["delete"]);
  expect(offered({ ...SESSION, deletion: { since: "", reason: "requested" } as never }, undefined)).toEqual([]);
});

test("the empty field says what becomes of a message", () => {
  expect(placeholderOf(SESSION, false, "followup")).toBe("Message the agent");
  expect(placeholderOf(SESSION, true, "followup")).toContain("queued behind this turn");
  expect(placeholderOf(SESSION, true, "steer")).toContain("takes the running turn's place");
  expect(placeholderOf({ ...SESSION, status: "hibernated" }, false, "steer")).toContain("wakes the session");
});

test("a cost that is not known is not 0, and one that lacks an attempt is a lower bound", () => {
  const job = { dispatchedAt: "2026-11-27T05:00:00.000Z", endedAt: "2026-11-27T05:00:02.500Z" } as never;
  const turn = (cost_usd: number | null, outcome = "ok") =>
    ({ cost_usd, outcome, calls_without_cost: 0, files_changed: 3 }) as never;
  expect(jobSummary(job, [turn(null)])).toMatchObject({ ms: 2_500, costUsd: null, lost: 0 });
  expect(jobSummary(job, [turn(null, "lost"), turn(0.5)])).toEqual({
    ms: 2_500,
    costUsd: 0.5,
    isCostPartial: true,
    filesChanged: 3,
    lost: 1,
  });
  // A sum of nothing that lacks something is no amount.
  expect(jobSummary(job, [turn(null, "lost"), turn(0)])).toMatchObject({ costUsd: null });
  expect(jobSummary({} as never, [])).toMatchObject({ ms: null, costUsd: null, filesChanged: null });
});
