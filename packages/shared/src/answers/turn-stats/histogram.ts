/**
 * Histograms that can be merged: how many values are in each bucket of a logarithmic scale. The rollups in D1 are such histograms;
 * the database counts into the same buckets (migration 0011). Pure.
 *
 * Bucket `i` has the values above `e^((i-1)/20)`, up to `e^(i/20)`. A bucket stands for the value in its middle that is at most
 * {@link ERROR_BOUND} away from each of its values, relative to them (as in DDSketch, Masson et al., VLDB 2019). 0 has a bucket
 * of its own and is exact.
 */

/** Buckets in each factor of e. */
const PER_E = 20;
/** The relative error of a quantile, at most: 2.5 %. */
export const ERROR_BOUND = Math.tanh(1 / (2 * PER_E));
/** The bucket of 0. */
export const ZERO = Number.NEGATIVE_INFINITY;

export interface Histogram {
  /** The sum of the values, exact. */
  readonly sum: number;
  /** The number of values by bucket. */
  readonly counts: ReadonlyMap<number, number>;
}

export const EMPTY: Histogram = { sum: 0, counts: new Map() };

/** Returns the bucket of a value. @param value not negative */
export function bucketOf(value: number): number {
  return value > 0 ? Math.ceil(PER_E * Math.log(value)) : ZERO;
}

/** Returns the value that a bucket stands for. */
export function valueIn(bucket: number): number {
  return bucket === ZERO ? 0 : (2 * upperBound(bucket)) / (Math.exp(1 / PER_E) + 1);
}

/** Returns the largest value of a bucket. */
export function upperBound(bucket: number): number {
  return bucket === ZERO ? 0 : Math.exp(bucket / PER_E);
}

/** Returns the histogram of some values. */
export function histogramOf(values: Iterable<number>): Histogram {
  const counts = new Map<number, number>();
  let sum = 0;
  for (const value of values) {
    const bucket = bucketOf(value);
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    sum += value;
  }
  return { sum, counts };
}

/** Returns the histogram of the values of both. */
export function merge(a: Histogram, b: Histogram): Histogram {
  const counts = new Map(a.counts);
  for (const [bucket, count] of b.counts) counts.set(bucket, (counts.get(bucket) ?? 0) + count);
  return { sum: a.sum + b.sum, counts };
}

/** Returns how many values a histogram has. */
export function countOf({ counts }: Histogram): number {
  let count = 0;
  for (const each of counts.values()) count += each;
  return count;
}

/**
 * Returns a quantile within {@link ERROR_BOUND} of the exact one; `null` without values.
 * @param share of the values that are not larger, above 0 and up to 1: the nearest rank
 */
export function quantile(histogram: Histogram, share: number): number | null {
  const rank = rankOf(countOf(histogram), share);
  let passed = 0;
  for (const bucket of [...histogram.counts.keys()].sort((a, b) => a - b)) {
    passed += histogram.counts.get(bucket) ?? 0;
    if (passed >= rank) return valueIn(bucket);
  }
  return null;
}

/** Returns the exact quantile of sorted values; `null` without values. */
export function exactQuantile(sorted: readonly number[], share: number): number | null {
  return sorted[rankOf(sorted.length, share) - 1] ?? null;
}

/** Returns the nearest rank, from 1. A product such as 0.07 * 100 is a little more than the whole number it stands for. */
function rankOf(count: number, share: number): number {
  return Math.max(1, Math.ceil(share * count - 1e-9));
}

export interface Bar {
  /** The values are above `from` and at most `to`; both are 0 for the values that are 0. */
  readonly from: number;
  readonly to: number;
  readonly turns: number;
}

/** Returns the histogram in at most so many bars, each with as many buckets as the others, without empty bars at the ends. */
export function barsOf({ counts }: Histogram, most: number): Bar[] {
  const buckets = [...counts.keys()].filter((bucket) => bucket !== ZERO).sort((a, b) => a - b);
  const zeros = counts.get(ZERO) ?? 0;
  const bars: Bar[] = zeros > 0 ? [{ from: 0, to: 0, turns: zeros }] : [];
  const [first] = buckets;
  const last = buckets.at(-1);
  if (first === undefined || last === undefined) return bars;
  const width = Math.ceil((last - first + 1) / Math.max(1, most - bars.length));
  for (let start = first; start <= last; start += width) {
    let turns = 0;
    for (let bucket = start; bucket < start + width; bucket++) turns += counts.get(bucket) ?? 0;
    bars.push({ from: upperBound(start - 1), to: upperBound(start + width - 1), turns });
  }
  return bars;
}

/** Reads a histogram as a rollup stores it: `sum`, and a count by bucket, of which `zero` is that of 0. */
export function parseHistogram(text: string): Histogram {
  const { sum = 0, ...buckets } = JSON.parse(text) as Record<string, number>;
  const entries = Object.entries(buckets).map(([bucket, count]) => [bucket === "zero" ? ZERO : Number(bucket), count]);
  return { sum, counts: new Map(entries as [number, number][]) };
}
