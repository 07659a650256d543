/** One point a turn: when it ended, and a measure. A point can be clicked. Failed turns are red crosses, lost ones hollow. */
import { useMemo, useRef } from "react";
import type uPlot from "uplot";
import { logRange, type Ticks, timeAxes } from "./log-axes.ts";
import { nearestPoint, type Point } from "./nearest-point.ts";
import { Plot } from "./plot.tsx";
import type { PlotColours } from "./plot-colours.ts";

interface TurnPoint {
  readonly endedMs: number;
  /** `null` if it is not known: the turn has no point. */
  readonly value: number | null;
  readonly state: "ok" | "failed" | "lost";
}

interface TurnPointsProps {
  readonly label: string;
  readonly height: number;
  /** Oldest first. */
  readonly points: readonly TurnPoint[];
  readonly ticks: Ticks;
  readonly text: (value: number) => string;
  /** A line across: the 90th percentile of all turns. */
  readonly p90: number | null;
  /** Returns the words that show at a point. */
  readonly wordsOf: (index: number) => string;
  readonly onChoose: (index: number) => void;
}

/** px */
const REACH = 16;

export function TurnPoints(props: TurnPointsProps) {
  const { points } = props;
  const note = useRef<HTMLOutputElement>(null);
  const data = useMemo((): uPlot.AlignedData => {
    // What is 0 stands at the axis: a logarithm has no place for it.
    const [low] = logRange(
      props.ticks,
      points.map(({ value }) => value),
    );
    return [points.map(({ endedMs }) => endedMs / 1000), points.map(({ value }) => (value === 0 ? low : value))];
  }, [points, props.ticks]);
  const placesOf = (plot: uPlot) =>
    points.map((_, index): Point | undefined => {
      const [x, y] = [data[0]?.[index], data[1]?.[index]];
      if (x === undefined || y === null || y === undefined) return undefined;
      return { left: plot.valToPos(x, "x"), top: plot.valToPos(y, "y") };
    });
  const show = (plot: uPlot) => {
    const node = note.current;
    if (node === null) return;
    const { left = -1, top = -1 } = plot.cursor;
    const index = left < 0 ? -1 : nearestPoint(placesOf(plot), { left, top }, REACH);
    node.hidden = index < 0;
    plot.over.style.cursor = index < 0 ? "default" : "pointer";
    if (index >= 0) node.textContent = props.wordsOf(index);
  };
  const options = (colours: PlotColours) => ({
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false }, x: false, y: false },
    padding: [8, 12, 0, 0] as [number, number, number, number],
    axes: timeAxes(colours, props.ticks, props.text),
    scales: {
      x: { time: true, range: padded },
      y: { distr: 3 as const, range: () => logRange(props.ticks, [...points.map(({ value }) => value), props.p90]) },
    },
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { draw: [(plot: uPlot) => draw(plot, props, placesOf(plot), colours)], setCursor: [show] },
  });
  return (
    <div className="turn-points">
      <Plot
        label={props.label}
        height={props.height}
        data={data}
        options={options}
        onClick={(plot, left, top) => {
          const index = nearestPoint(placesOf(plot), { left, top }, REACH);
          if (index >= 0) props.onChoose(index);
        }}
      />
      <output ref={note} hidden aria-hidden="true" className="turn-point-note" />
    </div>
  );
}

/** A single turn stands in the middle of two minutes. */
function padded(_: uPlot, from: number, to: number): [number, number] {
  const room = Math.max(60, (to - from) * 0.01);
  return [from - room, to + room];
}

function draw(plot: uPlot, props: TurnPointsProps, places: (Point | undefined)[], colours: PlotColours): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.5 * ratio;
  if (props.p90 !== null && props.p90 > 0) {
    const y = Math.round(plot.valToPos(props.p90, "y", true));
    ctx.strokeStyle = colours.ink;
    ctx.setLineDash([4 * ratio, 2 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
  }
  const drawOne = (index: number) => {
    const place = places[index];
    const state = props.points[index]?.state;
    if (place === undefined) return;
    const [x, y] = [bbox.left + place.left * ratio, bbox.top + place.top * ratio];
    ctx.beginPath();
    if (state === "failed") {
      ctx.strokeStyle = colours.failed;
      const arm = 3.5 * ratio;
      ctx.moveTo(x - arm, y - arm);
      ctx.lineTo(x + arm, y + arm);
      ctx.moveTo(x - arm, y + arm);
      ctx.lineTo(x + arm, y - arm);
      ctx.stroke();
      return;
    }
    ctx.arc(x, y, (state === "lost" ? 4 : 2.5) * ratio, 0, 2 * Math.PI);
    if (state === "lost") {
      ctx.strokeStyle = colours.failed;
      ctx.setLineDash([2.5 * ratio, 2 * ratio]);
      ctx.stroke();
      ctx.setLineDash([]);
      return;
    }
    ctx.globalAlpha = 0.65;
    ctx.fillStyle = colours["ink-2"];
    ctx.fill();
    ctx.globalAlpha = 1;
  };
  // Failures are drawn last, so that no other point hides them.
  const isOk = (index: number) => props.points[index]?.state === "ok";
  for (const index of props.points.keys()) if (isOk(index)) drawOne(index);
  for (const index of props.points.keys()) if (!isOk(index)) drawOne(index);
  ctx.restore();
}
