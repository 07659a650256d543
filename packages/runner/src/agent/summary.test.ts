import { expect, test } from "vitest";
import { addSummaries, NO_SUMMARY } from "./summary.ts";

const SOME = {
  turnMs: 1,
  modelMs: 2,
  toolMs: 3,
  permissionWaitMs: 4,
  modelCalls: 5,
  toolCalls: 6,
  toolErrors: 7,
  retries: 8,
  tokens: { input: 9, output: 10, cacheRead: 11, cacheWrite: 12, reasoning: 13 },
  costUsd: 0.5,
  timeToFirstTokenMs: 14,
  model: "a/b",
};

test("all figures are added up; the first token is that of the first summary, the model that of the last", () => {
  expect(addSummaries(NO_SUMMARY, SOME)).toEqual(SOME);
  expect(addSummaries(SOME, NO_SUMMARY)).toEqual(SOME);
  expect(addSummaries(SOME, { ...SOME, timeToFirstTokenMs: 1, model: "c/d" })).toEqual({
    turnMs: 2,
    modelMs: 4,
    toolMs: 6,
    permissionWaitMs: 8,
    modelCalls: 10,
    toolCalls: 12,
    toolErrors: 14,
    retries: 16,
    tokens: { input: 18, output: 20, cacheRead: 22, cacheWrite: 24, reasoning: 26 },
    costUsd: 1,
    timeToFirstTokenMs: 14,
    model: "c/d",
  });
});

test("unknown figures do not count as 0, and do not make the sum unknown if others are known", () => {
  const tokens = { input: null, output: null, cacheRead: null, cacheWrite: null, reasoning: null };
  const unknown = { ...SOME, tokens, costUsd: null, callsWithoutUsage: 5, callsWithoutCost: 5 };
  expect(addSummaries(unknown, NO_SUMMARY)).toMatchObject({ tokens, costUsd: null, callsWithoutUsage: 5 });
  expect(addSummaries(NO_SUMMARY, unknown)).toMatchObject({ tokens, costUsd: null, callsWithoutCost: 5 });
  expect(addSummaries(unknown, unknown)).toMatchObject({ tokens, costUsd: null, callsWithoutUsage: 10 });
  // Calls that cost nothing.
  const refused = { ...NO_SUMMARY, modelCalls: 2 };
  expect(addSummaries(unknown, refused)).toMatchObject({ tokens, costUsd: null, callsWithoutCost: 5 });
  expect(addSummaries(refused, unknown)).toMatchObject({ tokens, costUsd: null, callsWithoutCost: 5 });
  expect(addSummaries(unknown, SOME)).toMatchObject({ tokens: SOME.tokens, costUsd: 0.5, callsWithoutCost: 5 });
});
