import { knownSum } from "@valet/shared/protocol/cost";
import type { TurnSummary, Usage } from "@valet/shared/protocol/turn";
import { withoutUndefined } from "@valet/shared/without-undefined";

/** The summary of no work. */
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

/** Adds up the summaries of two pieces of work, the earlier one first. The model is the one that answered last. */
export function addSummaries(first: TurnSummary, second: TurnSummary): TurnSummary {
  const timeToFirstTokenMs = first.timeToFirstTokenMs ?? second.timeToFirstTokenMs;
  const model = second.model ?? first.model;
  const sum = (read: (summary: TurnSummary) => number | null) => {
    const [one, other] = [read(first), read(second)];
    return knownSum((one ?? 0) + (other ?? 0), one === null || other === null ? 1 : 0);
  };
  const prepareMs = first.prepareMs === undefined ? second.prepareMs : first.prepareMs + (second.prepareMs ?? 0);
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
      input: sum(({ tokens }) => tokens.input),
      output: sum(({ tokens }) => tokens.output),
      cacheRead: sum(({ tokens }) => tokens.cacheRead),
      cacheWrite: sum(({ tokens }) => tokens.cacheWrite),
      reasoning: sum(({ tokens }) => tokens.reasoning),
    },
    costUsd: sum(({ costUsd }) => costUsd),
    ...lacking("callsWithoutUsage", first, second),
    ...lacking("callsWithoutCost", first, second),
    ...lacking("callsWithOddUsage", first, second),
    ...withoutUndefined({ prepareMs, timeToFirstTokenMs, model, usage: addUsage(first.usage, second.usage) }),
  };
}

/** Adds up what two pieces of work used, the one after the other. A figure that one of them lacks is unknown. */
function addUsage(first: Usage | undefined, second: Usage | undefined): Usage | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const both = (read: (usage: Usage) => number | undefined, join: (one: number, other: number) => number) => {
    const [one, other] = [read(first), read(second)];
    return one === undefined || other === undefined ? undefined : join(one, other);
  };
  const sum = (one: number, other: number) => one + other;
  return withoutUndefined({
    cpuMs: both(({ cpuMs }) => cpuMs, sum),
    memoryPeakBytes: both(({ memoryPeakBytes }) => memoryPeakBytes, Math.max),
    diskWrittenBytes: both(({ diskWrittenBytes }) => diskWrittenBytes, sum),
  });
}

type Lack = "callsWithoutUsage" | "callsWithoutCost" | "callsWithOddUsage";

/** Returns the total of one of the counts of missing figures; without the field if it is 0. */
export function lacking<L extends Lack>(key: L, ...work: readonly { readonly [K in L]?: number | undefined }[]) {
  const count = work.reduce((total, each) => total + (each[key] ?? 0), 0);
  return count === 0 ? {} : ({ [key]: count } as { [K in L]: number });
}
