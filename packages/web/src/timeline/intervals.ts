/** Sets of intervals of time. Pure. */

/** From `startMs` to `endMs`, in epoch ms; `endMs` is not before `startMs`. */
export interface Interval {
  readonly startMs: number;
  readonly endMs: number;
}

/** Returns the same time as intervals in order that neither overlap nor touch. Empty ones are left out. */
export function union(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals.filter(({ startMs, endMs }) => endMs > startMs).sort((a, b) => a.startMs - b.startMs);
  const merged: { startMs: number; endMs: number }[] = [];
  for (const { startMs, endMs } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && startMs <= last.endMs) last.endMs = Math.max(last.endMs, endMs);
    else merged.push({ startMs, endMs });
  }
  return merged;
}

/** Returns what of the time of `from` is in none of `cut`. @param from as {@link union} returns it; so is `cut` */
export function subtract(from: readonly Interval[], cut: readonly Interval[]): Interval[] {
  const rest: Interval[] = [];
  let first = 0;
  for (const { startMs, endMs } of from) {
    while (first < cut.length && (cut[first] as Interval).endMs <= startMs) first += 1;
    let at = startMs;
    for (let index = first; index < cut.length; index += 1) {
      const hole = cut[index] as Interval;
      if (hole.startMs >= endMs) break;
      if (hole.startMs > at) rest.push({ startMs: at, endMs: hole.startMs });
      at = Math.max(at, hole.endMs);
    }
    if (at < endMs) rest.push({ startMs: at, endMs });
  }
  return rest;
}

/** Returns how long two sets of intervals overlap, ms. @param a as {@link union} returns it; so is `b` */
export function overlapMs(a: readonly Interval[], b: readonly Interval[]): number {
  return length(a) - length(subtract(a, b));
}

/** Returns the sum of the lengths, ms. */
export function length(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
}
