/** Failures by day: failed ones drawn through, lost ones hollow and dashed on top of them. */
import { useMemo } from "react";
import uPlot from "uplot";
import { barScales, QUIET } from "./looks.ts";
import { Plot } from "./plot.tsx";
import type { PlotColours } from "./plot-colours.ts";

interface DayFailures {
  /** YYYY-MM-DD, UTC. */
  readonly day: string;
  readonly failed: number;
  readonly lost: number;
}

const bars = uPlot.paths.bars?.({ size: [0.72, 28], align: 0 });

export function DayBars(props: {
  readonly label: string;
  readonly days: readonly DayFailures[];
  readonly height: number;
}) {
  const { days, label, height } = props;
  const data = useMemo((): uPlot.AlignedData => {
    const all = days.map(({ failed, lost }) => failed + lost);
    return [days.map((_, index) => index), all, days.map(({ failed }) => failed)];
  }, [days]);
  const options = ({ failed, surface }: PlotColours) => ({
    ...QUIET,
    scales: barScales(days.length),
    series: [
      {},
      { stroke: failed, fill: surface, dash: [3, 2], width: 1, points: { show: false }, ...(bars && { paths: bars }) },
      { stroke: failed, fill: failed, width: 1, points: { show: false }, ...(bars && { paths: bars }) },
    ],
  });
  return <Plot label={label} height={height} data={data} options={options} />;
}
