/** Tokens and money on the axis of time, from model calls and, where these have not been read, from the records of turns. Pure. */
import type { SkeletonUsage } from "@valet/shared/protocol/skeleton-codec";
import type { CostStep, TokenStem } from "./items.ts";
import type { Turn } from "./turns.ts";

/** A model call that has ended. */
export interface Call {
  /** Its end, epoch ms. */
  readonly atMs: number;
  readonly usage: SkeletonUsage;
}
/** The calls of each turn, by its id. A turn whose spans have not been read has none. */
export type CallsByTurn = ReadonlyMap<string, readonly Call[]>;

const NO_CALLS: readonly Call[] = [];
/** Sums of fractions differ in their last digits: a smaller rest is none. */
const NO_REST = 1e-6;

/**
 * Returns a stem for each model call whose tokens are known, in order of time. A turn whose calls are not known has one stem at its end,
 * the mean of its calls, so that all stems have one scale.
 */
export function tokenStems(turns: readonly Turn[], calls: CallsByTurn): TokenStem[] {
  return turns
    .flatMap(({ id, record, endMs, messageId }): TokenStem[] => {
      const known = (calls.get(id) ?? NO_CALLS).flatMap(({ atMs, usage: { input, cached } }): TokenStem[] =>
        input === undefined ? [] : [{ atMs, input, calls: 1, cached: within(cached ?? null, input), messageId }],
      );
      const input = record?.tokens_input ?? null;
      if (known.length > 0 || input === null || endMs === undefined) return known;
      const count = Math.max(1, record?.model_calls ?? 1);
      const cached = within(record?.tokens_cache_read ?? null, input);
      const mean = {
        input: Math.round(input / count),
        cached: cached === null ? null : Math.round(cached / count),
      };
      return [{ atMs: endMs, calls: count, messageId, ...mean }];
    })
    .sort((a, b) => a.atMs - b.atMs);
}

function within(part: number | null, whole: number): number | null {
  return part === null ? null : Math.min(part, whole);
}

/**
 * Returns the cost from each moment on. It rises from 0 at `startMs` with each model call whose cost is known, and at the end of a turn
 * by what its record has beyond its calls. Empty if no cost is known.
 */
export function costSteps(turns: readonly Turn[], calls: CallsByTurn, startMs: number): CostStep[] {
  const known = turns
    .flatMap(({ id, record, endMs }) => {
      const ofCalls = (calls.get(id) ?? NO_CALLS).flatMap(({ atMs, usage: { costUsd } }) =>
        costUsd === undefined ? [] : [{ atMs, usd: costUsd }],
      );
      const whole = record?.cost_usd ?? null;
      if (whole === null || endMs === undefined) return ofCalls;
      const rest = whole - ofCalls.reduce((sum, { usd }) => sum + usd, 0);
      // The record is what the turn cost: calls that say more are not all its own.
      if (rest < -NO_REST * Math.max(1, whole)) return [{ atMs: endMs, usd: whole }];
      return rest > NO_REST * whole || ofCalls.length === 0 ? [...ofCalls, { atMs: endMs, usd: rest }] : ofCalls;
    })
    .sort((a, b) => a.atMs - b.atMs);
  if (known.length === 0) return [];
  const steps: CostStep[] = [{ atMs: startMs, usd: 0 }];
  let sum = 0;
  for (const { atMs, usd } of known) {
    sum += usd;
    steps.push({ atMs, usd: sum });
  }
  return steps;
}

/**
 * Returns the steps until now.
 * @param totalUsd what the session has cost, with what runs; `null` if it is not known. Sums of fractions differ in their last digits
 */
export function stepsUntilNow(
  steps: readonly CostStep[],
  totalUsd: number | null,
  startMs: number,
  nowMs: number,
): readonly CostStep[] {
  const last = steps.at(-1)?.usd ?? 0;
  if (totalUsd === null || (steps.length > 0 && totalUsd <= last * 1.000001)) return steps;
  return [...(steps.length === 0 ? [{ atMs: startMs, usd: 0 }] : steps), { atMs: nowMs, usd: totalUsd }];
}

/** Returns the largest of the stems of each pixel, so that there are no more than pixels. @param stems in order of time */
export function largestStems(stems: readonly TokenStem[], xOf: (ms: number) => number, cellPx: number): TokenStem[] {
  const kept: TokenStem[] = [];
  let cell = Number.NEGATIVE_INFINITY;
  for (const stem of stems) {
    const at = Math.floor(xOf(stem.atMs) / cellPx);
    const last = kept.at(-1);
    if (at !== cell || last === undefined) kept.push(stem);
    else if (stem.input > last.input) kept[kept.length - 1] = stem;
    cell = at;
  }
  return kept;
}

/** Returns whose tokens the stems are, in words. */
export function stemsText(stems: readonly TokenStem[]): string {
  const means = stems.filter(({ calls }) => calls > 1).length;
  const singles = stems.length - means;
  const parts = [
    ...(singles > 0 ? [singles === 1 ? "1 call" : `${singles} calls`] : []),
    ...(means > 0
      ? [
          means === 1
            ? "the mean of 1 turn, which is too small to show each"
            : `the means of ${means} turns, which are too small to show each`,
        ]
      : []),
  ];
  return parts.join(", ");
}
