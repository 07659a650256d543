import { expect, test } from "vitest";
import { loadRecording, replay } from "../../test/recordings.ts";
import { TurnTally } from "./turn-tally.ts";

function summaryOf(recording: string, turn = 0) {
  const replayed = replay(loadRecording(recording))[turn];
  if (replayed === undefined) throw new Error(`${recording} has no turn ${turn}`);
  const tally = new TurnTally();
  tally.add(replayed.facts);
  return tally.summary(replayed.startMs, replayed.endReadMs ?? 0, "a/b");
}

test("simple: every call, tool and token", () => {
  const { costUsd, ...summary } = summaryOf("simple");
  expect(summary).toEqual({
    turnMs: 3526,
    timeToFirstTokenMs: 2308 - 215,
    modelMs: 127 + 116 + 73 + 87,
    toolMs: 27 + 19 + 298,
    permissionWaitMs: 0,
    modelCalls: 4,
    toolCalls: 3,
    toolErrors: 0,
    retries: 0,
    tokens: { input: 1000, output: 75, cacheRead: 640, cacheWrite: 0, reasoning: 5 },
    model: "a/b",
  });
  expect(costUsd).toBeCloseTo(0.000492 + 0.00078 + 0.00051 + 0.000615, 9);
});

test("tools that run side by side count once, and one that fails is counted", () => {
  expect(summaryOf("parallel-tools")).toMatchObject({ toolMs: 3254 - 2712, toolCalls: 3, toolErrors: 1 });
});

test("the time in which a person was waited for is no tool's", () => {
  expect(summaryOf("permission")).toMatchObject({ permissionWaitMs: 2598 - 2283, toolMs: 423 - 315 });
});

test("a sub-agent's calls and tools count, the call that waits for it does not count twice", () => {
  expect(summaryOf("subagent")).toMatchObject({
    toolMs: 3267 - 3102,
    toolCalls: 2,
    modelCalls: 4,
    tokens: { input: 28_500, output: 112 },
  });
});

test("a retry is a call of its own", () => {
  expect(summaryOf("retry")).toMatchObject({ modelCalls: 2, retries: 1 });
});
