/**
 * Draws the bars of a row on its canvas. While somebody zooms, those of all rows change with each frame: as elements they took three
 * times as long.
 */
import type { Surface } from "../timeline/draw.ts";
import { hatchOf, isHatched } from "../timeline/palette.ts";
import { type Bar, barsOf, endOf } from "./bars.ts";
import type { Item } from "./item.ts";
import type { OtlpSpan } from "./otlp.ts";
import { placeOf, type View } from "./scale.ts";

export interface Track {
  readonly item: Item;
  readonly otlp: OtlpSpan | undefined;
  readonly view: View;
  readonly nowUs: number;
  readonly isCriticalShown: boolean;
  /** The row has room for a thin line only. */
  readonly isSlim: boolean;
}

/** px from the top of the row, like all below. */
const BAR = { top: 6, height: 12 };
const THIN = { top: 10, height: 4 };
const SLIM = { top: 0, height: 2 };
const CRITICAL = { top: 20, height: 2 };
const MIDDLE = 12;
const MIN_WIDTH = 2;

export function drawTrack(surface: Surface, track: Track): void {
  const { item, otlp, view, nowUs, isCriticalShown, isSlim } = track;
  const toUs = endOf(item, nowUs);
  if (placeOf(view, item.span.startUs, toUs) === undefined) {
    if (!isSlim) drawArrow(surface, toUs < view.startUs);
    return;
  }
  for (const bar of barsOf(item, otlp, nowUs)) {
    const box = boxOf(surface, view, bar.fromUs, bar.toUs, MIN_WIDTH);
    if (box !== undefined) drawBar(surface, bar, box, isSlim ? SLIM : bar.form === "thin" ? THIN : BAR);
  }
  if (!isCriticalShown || isSlim) return;
  surface.context.fillStyle = surface.palette.ink;
  for (const [from, to] of item.critical) {
    const box = boxOf(surface, view, from, Math.min(to, toUs), 1);
    if (box !== undefined) surface.context.fillRect(box.x, CRITICAL.top, box.width, CRITICAL.height);
  }
}

interface Box {
  readonly x: number;
  readonly width: number;
}

function boxOf({ width }: Surface, view: View, fromUs: number, toUs: number, least: number): Box | undefined {
  const place = placeOf(view, fromUs, toUs);
  if (place === undefined) return undefined;
  const wide = Math.max(least, (place.width / 100) * width);
  // What begins at the very end is still to be seen.
  return { x: Math.min((place.left / 100) * width, width - least), width: wide };
}

function drawBar(surface: Surface, bar: Bar, { x, width }: Box, { top, height }: typeof BAR): void {
  const { context, palette, scale } = surface;
  const { kind, form } = bar;
  const colour = palette.bars[kind];
  const frame = (stroke: string, inset: number, dash: readonly number[] = []) => {
    context.strokeStyle = stroke;
    context.lineWidth = 2 * inset;
    context.setLineDash([...dash]);
    context.strokeRect(x + inset, top + inset, Math.max(0.5, width - 2 * inset), Math.max(0.5, height - 2 * inset));
    context.setLineDash([]);
  };
  const fill = (style: string | CanvasPattern) => {
    context.fillStyle = style;
    context.beginPath();
    context.roundRect(x, top, width, height, Math.min(2, width / 2, height / 2));
    context.fill();
  };
  if (form === "lost") return frame(palette.failed, 0.5, [3, 2]);
  if (form === "wait") {
    context.globalAlpha = 0.22;
    fill(colour);
    context.globalAlpha = 1;
    if (height > SLIM.height) frame(colour, 0.75);
  } else if (form === "thin" || height === SLIM.height) fill(colour);
  else if (kind === "other") frame(colour, 0.5);
  else if (isHatched(kind)) {
    fill(hatchOf(context, kind, colour, scale));
    if (width > 3) frame(colour, 0.5);
  } else fill(colour);
  if (!bar.hasFailed) return;
  context.strokeStyle = palette.failed;
  context.lineWidth = 1.5;
  context.beginPath();
  context.roundRect(x - 1.75, top - 1.75, width + 3.5, height + 3.5, 3);
  context.stroke();
}

/** An arrow at the edge behind which the span is. */
function drawArrow({ context, palette, width }: Surface, isEarlier: boolean): void {
  const [tip, back] = isEarlier ? [2, 6] : [width - 2, width - 6];
  context.strokeStyle = palette.edge;
  context.lineWidth = 1.25;
  context.beginPath();
  context.moveTo(back, MIDDLE - 4);
  context.lineTo(tip, MIDDLE);
  context.lineTo(back, MIDDLE + 4);
  context.stroke();
}
