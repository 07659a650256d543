import { expect, test } from "vitest";
import { loadRecording, relative, replay } from "../../test/recordings.ts";
import { readEvent } from "../opencode/events.ts";
import type { Ending } from "./facts.ts";
import { TurnTally } from "./turn-tally.ts";

function summaryOf(recording: string, turn = 0) {
  const replayed = replay(loadRecording(recording))[turn];
  if (replayed === undefined) throw new Error(`${recording} has no turn ${turn}`);
  const tally = new TurnTally();
  tally.add(replayed.facts);
  return tally.summary(replayed.startMs, replayed.endReadMs ?? 0, "a/b");
}

test("simple: counts every call, tool and token", () => {
  const { costUsd, ...summary } = summaryOf("simple");
  expect(summary).toEqual({
    turnMs: 3526,
    // Without the agent's preparation, which prepareMs counts.
    timeToFirstTokenMs: 2308 - 2221,
    prepareMs: 2221 - 215,
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

test("the time of parallel tools counts once, and a failed tool is counted", () => {
  expect(summaryOf("parallel-tools")).toMatchObject({ toolMs: 3254 - 2712, toolCalls: 3, toolErrors: 1 });
});

test("a call with tokens without a price has a known cost, which is a lower bound", () => {
  const spanId = "1".repeat(16);
  const usage = { "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10 };
  const attributes = { ...usage, "valet.llm.cost_usd": 0.5, "valet.llm.cost_partial": true };
  const tally = new TurnTally();
  tally.add([{ type: "begin", name: "chat m", spanId, startMs: 5, attributes: {} } as never]);
  tally.add([{ type: "end", spanId, endMs: 50, outcome: "ok", attributes } as never]);
  const summary = tally.summary(0, 100, undefined);
  expect(summary).toMatchObject({ costUsd: 0.5, callsWithoutCost: 1, tokens: { input: 100, output: 10 } });
  expect(summary).not.toHaveProperty("callsWithoutUsage");
});

test("a tool call counts from its start, as a model call does", () => {
  const begun = {
    type: "begin",
    name: "execute_tool bash",
    spanId: "1".repeat(16),
    startMs: 5,
    attributes: {},
  } as const;
  const tally = new TurnTally();
  tally.add([begun as never]);
  expect(tally.summary(0, 100, undefined)).toMatchObject({ toolCalls: 1, toolErrors: 0 });
  tally.add([{ type: "end", spanId: begun.spanId, endMs: 50, outcome: "error", attributes: {} } as never]);
  expect(tally.summary(0, 100, undefined)).toMatchObject({ toolCalls: 1, toolErrors: 1 });
});

test("the wait for a person does not count as tool time", () => {
  expect(summaryOf("permission")).toMatchObject({ permissionWaitMs: 2598 - 2283, toolMs: 423 - 315 });
});

test("a sub-agent's calls and tools count; the time of the call that waits for it does not count twice", () => {
  expect(summaryOf("subagent")).toMatchObject({
    toolMs: 3267 - 3102,
    toolCalls: 2,
    modelCalls: 4,
    tokens: { input: 28_500, output: 112 },
  });
});

test("a retried call counts as one call and one retry", () => {
  expect(summaryOf("retry")).toMatchObject({ modelCalls: 1, retries: 1, tokens: { input: 120, output: 12 } });
  expect(summaryOf("retry")).not.toHaveProperty("callsWithoutUsage");
  // The wait between the tries is not model time.
  expect(summaryOf("retry").modelMs).toBe(2869 - 2830 + (3903 - 3876));
});

test("the usage of a try whose answer broke off is unknown, and the call's sum says that it is incomplete", () => {
  expect(summaryOf("cut-stream")).toMatchObject({
    modelCalls: 1,
    retries: 1,
    callsWithoutUsage: 1,
    callsWithoutCost: 1,
    tokens: { input: 140, output: 9 },
  });
});

/** Returns the figures of a recorded turn that ends with `ending` after the last event that matches `until`. */
function summaryUntil(recording: string, until: (event: Record<string, unknown>) => boolean, ending: Ending) {
  const loaded = loadRecording(recording);
  const stop = loaded.events.findLastIndex(({ event }) => until(event));
  const [turn] = replay(loaded, (events) => events.slice(0, stop + 1));
  if (turn === undefined) throw new Error(`${recording} has no turn`);
  const tally = new TurnTally();
  tally.add(turn.facts);
  tally.add(turn.reducer.close(loaded.startedAt + 60_000, ending).map((fact) => relative(fact, loaded.startedAt)));
  return tally.summary(0, 60_000, undefined);
}
const isTool = (status: string) => (event: Record<string, unknown>) => {
  const read = readEvent(event);
  const part = read?.type === "message.part.updated" ? read.properties.part : undefined;
  return part?.type === "tool" && part.tool === "bash" && part.state.status === status;
};
const DIED: Ending = { outcome: "error", errorType: "opencode_died" };

test("a call whose tool step is interrupted has answered, and its usage is unknown", () => {
  expect(summaryUntil("two-channels", isTool("running"), DIED)).toMatchObject({
    modelCalls: 1,
    callsWithoutUsage: 1,
    callsWithoutCost: 1,
    costUsd: null,
    tokens: { input: null, output: null, cacheRead: null, cacheWrite: null, reasoning: null },
    // Without the tool's time.
    modelMs: expect.toSatisfy((ms: number) => ms < 1000),
  });
});

test("the sum covers the calls with known usage and counts the others", () => {
  const { tokens, costUsd, ...summary } = summaryUntil("simple", isTool("running"), DIED);
  expect(summary).toMatchObject({ modelCalls: 3, callsWithoutUsage: 1, callsWithoutCost: 1 });
  expect(tokens).toMatchObject({ input: 300, output: 50 });
  expect(costUsd).toBeCloseTo(0.000492 + 0.00078, 9);
});

test.each<[string, Ending]>([
  ["a person's abort", { outcome: "aborted", errorType: "user_abort" }],
  ["a message that takes its place", { outcome: "superseded", errorType: "steered" }],
  ["the agent's death", DIED],
])(
  "a call that the provider has only refused cost nothing, also if %s ends it before the next try",
  (_what, ending) => {
    const isRetry = (event: Record<string, unknown>) => {
      const read = readEvent(event);
      return read?.type === "session.status" && read.properties.status.type === "retry";
    };
    const { tokens, costUsd, ...summary } = summaryUntil("retry", isRetry, ending);
    expect([summary.modelCalls, tokens.input, costUsd]).toEqual([1, 0, 0]);
    expect(summary).not.toHaveProperty("callsWithoutUsage");
    // An answer that broke off may have cost something.
    expect(summaryUntil("cut-stream", isRetry, ending)).toMatchObject({ callsWithoutUsage: 1, costUsd: null });
  },
);

test("a call that the provider refused has no usage", () => {
  const { tokens, costUsd, ...summary } = summaryOf("error");
  expect([tokens.input, costUsd]).toEqual([0, 0]);
  expect(summary).not.toHaveProperty("callsWithoutUsage");
});
