/** A histogram of a measure, with its percentiles: p50 drawn through, p90 dashed, p99 dotted. */
import { useMemo } from "react";
import uPlot from "uplot";
import { type Bar, placeOf } from "./bar-place.ts";
import { barScales, DASHES, QUIET } from "./looks.ts";
import { Plot } from "./plot.tsx";
import type { PlotColours } from "./plot-colours.ts";

export type BarColour = "queue" | "model" | "ink-3";

interface HistogramProps {
  readonly label: string;
  readonly bars: readonly Bar[];
  /** p50, p90 and p99, as far as they are known. */
  readonly percentiles: readonly (number | null)[];
  readonly colour: BarColour;
  readonly height: number;
}

const LINES = [DASHES.p50, DASHES.p90, DASHES.p99];
const bars = uPlot.paths.bars?.({ size: [0.82], align: 0 });

export function Histogram(props: HistogramProps) {
  const data = useMemo((): uPlot.AlignedData => {
    return [props.bars.map((_, index) => index), props.bars.map(({ turns }) => turns)];
  }, [props.bars]);
  const options = (colours: PlotColours) => ({
    ...QUIET,
    scales: barScales(props.bars.length),
    series: [{}, { fill: colours[props.colour], width: 0, points: { show: false }, ...(bars && { paths: bars }) }],
    hooks: { draw: [(plot: uPlot) => drawPercentiles(plot, props, colours.ink)] },
  });
  return <Plot label={props.label} height={props.height} data={data} options={options} />;
}

function drawPercentiles(plot: uPlot, { percentiles, bars }: HistogramProps, ink: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  percentiles.forEach((value, index) => {
    if (value === null || bars.length === 0) return;
    const x = Math.round(plot.valToPos(placeOf(value, bars), "x", true));
    ctx.setLineDash((LINES[index] ?? []).map((length) => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  });
  ctx.restore();
}
