import type { TurnSummary } from "@valet/shared/protocol/runner-link";

/** Of work of which nothing is known, or none has been done. */
export const NO_SUMMARY: TurnSummary = {
  turnMs: 0,
  modelMs: 0,
  toolMs: 0,
  permissionWaitMs: 0,
  modelCalls: 0,
  toolCalls: 0,
  toolErrors: 0,
  retries: 0,
  tokens: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0 },
  costUsd: 0,
};

/** What two pieces of work cost together, the earlier one first. The model is that which answered last. */
export function addSummaries(first: TurnSummary, second: TurnSummary): TurnSummary {
  const timeToFirstTokenMs = first.timeToFirstTokenMs ?? second.timeToFirstTokenMs;
  const model = second.model ?? first.model;
  return {
    turnMs: first.turnMs + second.turnMs,
    modelMs: first.modelMs + second.modelMs,
    toolMs: first.toolMs + second.toolMs,
    permissionWaitMs: first.permissionWaitMs + second.permissionWaitMs,
    modelCalls: first.modelCalls + second.modelCalls,
    toolCalls: first.toolCalls + second.toolCalls,
    toolErrors: first.toolErrors + second.toolErrors,
    retries: first.retries + second.retries,
    tokens: {
      input: first.tokens.input + second.tokens.input,
      output: first.tokens.output + second.tokens.output,
      cacheRead: first.tokens.cacheRead + second.tokens.cacheRead,
      cacheWrite: first.tokens.cacheWrite + second.tokens.cacheWrite,
      reasoning: first.tokens.reasoning + second.tokens.reasoning,
    },
    costUsd: first.costUsd + second.costUsd,
    ...(timeToFirstTokenMs !== undefined && { timeToFirstTokenMs }),
    ...(model !== undefined && { model }),
  };
}
