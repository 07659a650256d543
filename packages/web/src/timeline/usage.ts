/** Tokens and money on the axis of time, from the records of turns. Pure. */
import type { CostStep, TokenStem } from "./items.ts";
import type { Turn } from "./turns.ts";

/** Returns a stem for each turn whose tokens are known, at its end, in order of time. */
export function tokenStems(turns: readonly Turn[]): TokenStem[] {
  return turns
    .flatMap(({ record, endMs, messageId }): TokenStem[] => {
      const input = record?.tokens_input ?? null;
      if (input === null || endMs === undefined) return [];
      const read = record?.tokens_cache_read ?? null;
      return [{ atMs: endMs, input, cached: read === null ? null : Math.min(read, input), messageId }];
    })
    .sort((a, b) => a.atMs - b.atMs);
}

/** Returns the cost from each moment on: it rises from 0 at `startMs` at the end of each turn whose cost is known. Empty if none is. */
export function costSteps(turns: readonly Turn[], startMs: number): CostStep[] {
  const known = turns
    .flatMap(({ record, endMs }) => {
      const usd = record?.cost_usd ?? null;
      return usd === null || endMs === undefined ? [] : [{ atMs: endMs, usd }];
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
