/** Medians, and how precisely a few samples determine them. Pure. */

/** @param values at least one */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

const CONFIDENCE = 0.95;

/**
 * Returns an interval that holds the median of the population in 95 of 100 cases, whatever its distribution: the narrowest
 * pair of order statistics that is symmetric in rank. With fewer than six values no pair is that safe; then it is the whole range.
 * @param values at least one
 */
export function medianInterval(values: readonly number[]): { readonly low: number; readonly high: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const count = sorted.length;
  let rank = 0;
  // The median lies outside the ranks [rank, count - 1 - rank] with twice the probability of at most `rank` heads in `count` tosses.
  while (rank + 1 < (count - 1) / 2 && 2 * atMostHeads(rank + 1, count) <= 1 - CONFIDENCE) rank++;
  return { low: sorted[rank] as number, high: sorted[count - 1 - rank] as number };
}

function atMostHeads(heads: number, tosses: number): number {
  let [term, sum] = [0.5 ** tosses, 0.5 ** tosses];
  for (let k = 1; k <= heads; k++) {
    term *= (tosses - k + 1) / k;
    sum += term;
  }
  return sum;
}
