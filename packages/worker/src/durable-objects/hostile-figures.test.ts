/** A runner that reports impossible figures ends its turn all the same: they are unknown, and hide no sum of others. */
import type { TurnSummary } from "@valet/shared/protocol/turn";
import { expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { eventually } from "../../test/eventually.ts";
import { NO_WORK } from "../../test/fake-runner.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";
import { readFamily } from "../database/family.ts";

const ABSURD = 1.7e308;

/** Ends a turn of a new session for each summary. @returns the session */
async function ended(...summaries: TurnSummary[]): Promise<TestSession> {
  const { session, runner } = await TestSession.running();
  for (const summary of summaries) {
    await session.send("go");
    const { attemptId } = await runner.accept();
    const progress = [{ attemptId, summary }];
    const seq = runner.heard.filter(({ type }) => type === "spans-ack").length + 1;
    runner.send({ type: "spans", instanceId: runner.instanceId, seq, otlp: '{"resourceSpans":[]}', progress });
    await runner.next("spans-ack");
    const { cost_usd } = valueIn(await session.stub.now());
    expect(cost_usd === null || cost_usd < 1).toBe(true);
    await runner.end(attemptId, { summary });
  }
  return session;
}

test("sums are known though turns reported an impossible cost, and say what they lack", async () => {
  const session = await ended(...[ABSURD, 0.5, ABSURD].map((costUsd) => ({ ...NO_WORK, costUsd })));
  await eventually(async () => {
    const { turns } = valueIn(await session.stub.turns());
    expect(turns.map(({ cost_usd }) => cost_usd)).toEqual([null, 0.5, null]);
    expect(valueIn(await session.stub.now())).toMatchObject({ cost_usd: 0.5, isCostPartial: true });
    const family = await readFamily(bindings.DB, session.id, CALLER.ownerId);
    expect(family?.total).toMatchObject({ turns: 3, cost_usd: 0.5, turns_without_cost: 2 });
  });
});

const TOKENS = { input: ABSURD, output: -1, cacheRead: Number.NaN, cacheWrite: 1, reasoning: 2 };

test.each<[string, TurnSummary, object]>([
  ["counts of tokens", { ...NO_WORK, tokens: TOKENS }, { tokens_input: null, tokens_output: null, cost_usd: 0.01 }],
  ["what programs used", { ...NO_WORK, usage: { cpuMs: ABSURD, memoryPeakBytes: 1.5 } }, { cpu_ms: null, tool_ms: 1 }],
  // Of the work nothing is known, then.
  ["durations", { ...NO_WORK, modelMs: ABSURD }, { outcome: "ok", model_ms: null, tool_ms: null, cost_usd: null }],
])("a turn ends, and %s that cannot be are unknown", async (_what, summary, record) => {
  const session = await ended(summary);
  await eventually(async () => expect(valueIn(await session.stub.turns()).turns).toMatchObject([record]));
});
