/** Percentiles of a measure by day: p50 drawn through, p90 dashed, p99 dotted. A day without a known value has no point. */
import { useMemo } from "react";
import type uPlot from "uplot";
import { dayText } from "../format/days.ts";
import { logRange, type Ticks, timeAxes } from "./log-axes.ts";
import { DASHES } from "./looks.ts";
import { Plot } from "./plot.tsx";
import type { PlotColours } from "./plot-colours.ts";

interface DayPercentiles {
  /** The day's begin, epoch ms. */
  readonly dayMs: number;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
}

interface PercentileLinesProps {
  readonly label: string;
  readonly height: number;
  readonly days: readonly DayPercentiles[];
  readonly ticks: Ticks;
  readonly text: (value: number) => string;
}

const NAMES = ["p50", "p90", "p99"] as const;
const POINTS = { p50: 6, p90: 5, p99: 4 } as const;

export function PercentileLines({ label, height, days, ticks, text }: PercentileLinesProps) {
  const data = useMemo((): uPlot.AlignedData => {
    // What is 0 has no place on a logarithmic axis: it stands at its lower end.
    const [low] = logRange(
      ticks,
      days.flatMap(({ p50, p90, p99 }) => [p50, p90, p99]),
    );
    const line = (name: (typeof NAMES)[number]) => days.map((day) => (day[name] === 0 ? low : day[name]));
    return [days.map(({ dayMs }) => dayMs / 1000), line("p50"), line("p90"), line("p99")];
  }, [days, ticks]);
  // A tick a day, or every other one where there is no room; a day of the API is one of UTC.
  const every = Math.ceil(days.length / 10);
  const seconds = days.filter((_, index) => index % every === 0).map(({ dayMs }) => dayMs / 1000);
  const atDays = {
    splits: () => seconds,
    values: (_: uPlot, splits: number[]) => splits.map((at) => dayText(new Date(at * 1000).toISOString())),
  };
  const options = (colours: PlotColours) => ({
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 12, 0, 0] as [number, number, number, number],
    axes: timeAxes(colours, ticks, text).map((axis, index) => (index === 0 ? { ...axis, ...atDays } : axis)),
    scales: {
      x: { time: true, range: (_: uPlot, from: number, to: number): [number, number] => [from - 21_600, to + 21_600] },
      y: {
        distr: 3 as const,
        range: () =>
          logRange(
            ticks,
            days.flatMap(({ p50, p90, p99 }) => [p50, p90, p99]),
          ),
      },
    },
    series: [
      {},
      ...NAMES.map((name) => ({
        stroke: name === "p50" ? colours.ink : colours["ink-2"],
        width: 1.5,
        dash: [...DASHES[name]],
        points: { show: true, size: POINTS[name], fill: colours.surface },
      })),
    ],
  });
  return <Plot label={label} height={height} data={data} options={options} />;
}
