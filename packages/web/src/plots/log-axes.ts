/** Axes of time, and of a value that spans many sizes. */
import uPlot from "uplot";
import type { PlotColours } from "./plot-colours.ts";

/** The ticks of a logarithmic axis, rising. */
export type Ticks = readonly number[];

/** In milliseconds: what people count in. */
export const DURATION_TICKS: Ticks = [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000, 864_000_000];
/** In US dollars. */
export const MONEY_TICKS: Ticks = [0.001, 0.01, 0.1, 1, 10, 100, 1_000, 10_000];

/** Returns the axes of a plot over time with a logarithmic value. @param text how a value is written */
export function timeAxes(
  { "ink-3": ink, line, font }: PlotColours,
  ticks: Ticks,
  text: (value: number) => string,
): uPlot.Axis[] {
  const look = { stroke: ink, font, ticks: { show: false } };
  return [
    { ...look, grid: { show: false }, gap: 4, size: 22, space: 90, values: timeTexts },
    {
      ...look,
      grid: { stroke: line, width: 1 },
      size: 60,
      gap: 6,
      splits: (_plot, _axis, least, most) => ticksIn(ticks, least, most),
      // By default only powers of ten are labelled.
      filter: (_plot, splits) => splits,
      values: (_plot, splits) => splits.map(text),
    },
  ];
}

const CLOCK = uPlot.fmtDate("{HH}:{mm}");
const SECONDS = uPlot.fmtDate("{HH}:{mm}:{ss}");
const DAY = uPlot.fmtDate("{D} {MMM}");

/** Returns a day where one begins, and else the time of day, with seconds where two ticks may lie in one minute. Pure. */
export function timeTexts(_plot: uPlot | undefined, splits: readonly number[]): string[] {
  const [first = 0, second = Number.POSITIVE_INFINITY] = splits;
  const clock = second - first < 60 ? SECONDS : CLOCK;
  return splits.map((seconds) => {
    const date = new Date(seconds * 1000);
    const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    return isMidnight ? DAY(date) : clock(date);
  });
}

/** Returns the ticks of a range. Pure. */
export function ticksIn(ticks: Ticks, least: number, most: number): number[] {
  return ticks.filter((tick) => tick >= least && tick <= most);
}

/** Returns the range of a logarithmic axis: from a tick to a tick, around all values above 0. Pure. */
export function logRange(ticks: Ticks, values: readonly (number | null)[]): [number, number] {
  const known = values.filter((value): value is number => value !== null && value > 0);
  const [first = 1, second = 10] = ticks;
  if (known.length === 0) return [first, second];
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const low = ticks.findLast((tick) => tick <= least) ?? least;
  const high = ticks.find((tick) => tick >= most && tick > low) ?? most * 2;
  return [low, high];
}
