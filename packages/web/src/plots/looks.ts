/** What several plots look like. */

/** The dashes of percentiles: p50 drawn through, p90 dashed, p99 dotted. */
export const DASHES = { p50: [], p90: [4, 2], p99: [1.5, 2.5] } as const;

/** Neither axes nor a legend nor a cursor. */
export const QUIET = {
  legend: { show: false },
  cursor: { show: false },
  padding: [2, 0, 0, 0] as [number, number, number, number],
  axes: [{ show: false }, { show: false }],
};

/** Returns the scales of bars beside each other, of which the highest fills the plot. @param count of the bars */
export function barScales(count: number) {
  return {
    x: { time: false, range: (): [number, number] => [-0.5, Math.max(0.5, count - 0.5)] },
    y: { range: (_: unknown, __: number, most: number): [number, number] => [0, Math.max(1, most) * 1.06] },
  };
}
