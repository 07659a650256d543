/** Tokens and money on the axis of time, from the records of turns. Pure. */
import type { Schemas } from "../api/client.ts";
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

/**
 * Returns the cost from each moment on. It begins with 0 at `startMs` and rises at the end of each turn whose cost is known.
 * @param now what the session has cost by now, with what runs; it is the last step if it is known
 */
export function costSteps(
  turns: readonly Turn[],
  startMs: number,
  now: Pick<Schemas["NowView"], "cost_usd" | "at"> | undefined,
): CostStep[] {
  const known = turns
    .flatMap(({ record, endMs }) => {
      const usd = record?.cost_usd ?? null;
      return usd === null || endMs === undefined || usd === 0 ? [] : [{ atMs: endMs, usd }];
    })
    .sort((a, b) => a.atMs - b.atMs);
  const total = now?.cost_usd ?? null;
  if (known.length === 0 && total === null) return [];
  const steps: { atMs: number; usd: number }[] = [{ atMs: startMs, usd: 0 }];
  let sum = 0;
  for (const { atMs, usd } of known) {
    sum += usd;
    const last = steps.at(-1) as CostStep;
    if (last.atMs === atMs) steps[steps.length - 1] = { atMs, usd: sum };
    else steps.push({ atMs: Math.max(atMs, last.atMs), usd: sum });
  }
  // What runs has cost something already; sums of fractions differ in their last digits.
  if (now !== undefined && total !== null && total > sum * 1.000001) {
    steps.push({ atMs: Math.max(Date.parse(now.at), (steps.at(-1) as CostStep).atMs), usd: total });
  }
  return steps;
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
