/** Where values stand in a histogram whose bars are equally wide, and whose bounds grow by the same factor. Pure. */

export interface Bar {
  /** Excluded. */
  readonly from: number;
  /** 0 for the bar of the value 0. */
  readonly to: number;
  readonly turns: number;
}

/** Returns the place of a value: bar `n` reaches from n − 0.5 to n + 0.5. Values beyond the bars stand at their ends. */
export function placeOf(value: number, bars: readonly Bar[]): number {
  const index = bars.findIndex(({ to }) => value <= to);
  if (index < 0) return bars.length - 0.5;
  const bar = bars[index];
  if (bar === undefined || bar.to === 0 || bar.from <= 0) return index;
  const share = Math.log(Math.max(value, bar.from) / bar.from) / Math.log(bar.to / bar.from);
  return index - 0.5 + share;
}
