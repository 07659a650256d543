/** Draws lanes on canvases. What is drawn is decided in `geometry.ts` and `aggregate.ts`. */
import type { Axis } from "./axis.ts";
import type { Bar } from "./geometry.ts";
import type { CostStep, Lane, TokenStem } from "./items.ts";
import { hatchOf, isHatched, type Palette } from "./palette.ts";
import { largestStems } from "./usage.ts";
import { piecesInView, timeInView, type View } from "./view.ts";

export interface Surface {
  readonly context: CanvasRenderingContext2D;
  readonly palette: Palette;
  readonly width: number;
  readonly height: number;
  /** Device pixels per pixel. */
  readonly scale: number;
}

/** Prepares a canvas for drawing in CSS pixels. Returns `undefined` where canvases do not work. */
export function surfaceOf(
  canvas: HTMLCanvasElement,
  palette: Palette,
  width: number,
  height: number,
): Surface | undefined {
  const scale = Math.min(3, devicePixelRatio || 1);
  const [wide, high] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext("2d");
  if (context === null) return undefined;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, palette, width, height, scale };
}

/** Draws the bars of a lane, and their labels where there is room. */
export function drawBars(surface: Surface, lane: Lane, bars: readonly Bar[], view: View): void {
  for (const bar of bars) drawBar(surface, lane, bar);
  drawLabels(surface, lane, bars, foldsOf(view));
}

/** From this width on, a frame around a bar that failed leaves something of it, px. */
const MIN_RING_PX = 5;

function drawBar(surface: Surface, lane: Lane, bar: Bar): void {
  const { context, palette, scale } = surface;
  const { item } = bar;
  // A bar far outside would be millions of pixels wide.
  const x = Math.max(-8, bar.x);
  const width = Math.min(surface.width + 8, bar.x + bar.width) - x;
  if (width <= 0) return;
  const colour = palette.bars[item.kind];
  if (item.isShell) {
    context.fillStyle = item.state === "ok" ? colour : palette.failed;
    context.fillRect(x, bar.y, width, bar.height);
    return;
  }
  if (item.state === "lost" || item.kind === "lost") {
    // Solid as long as its runner was heard; nobody knows what came after that.
    const known = Math.min(Math.max(0, (bar.heardX ?? x) - x), width);
    context.fillStyle = colour;
    context.fillRect(x, bar.y, known, bar.height);
    outline(context, palette.failed, x + known, bar.y, width - known, bar.height, [3, 2]);
    return;
  }
  if (lane.kind === "lifecycle" && item.kind === "other") drawRest(surface, bar, x, width);
  else if (isHatched(item.kind)) {
    // What it lies over must not show between its lines.
    context.fillStyle = palette.surface;
    context.fillRect(x, bar.y, width, bar.height);
    context.fillStyle = hatchOf(context, item.kind, colour, scale);
    context.fillRect(x, bar.y, width, bar.height);
    if (width > 3) outline(context, colour, x, bar.y, width, bar.height);
  } else {
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(x, bar.y, width, bar.height, Math.min(2, width / 2));
    context.fill();
  }
  if (item.state === "failed" && width < MIN_RING_PX) {
    // Frames of many narrow bars would hide them.
    context.fillStyle = palette.failed;
    context.fillRect(x, bar.y + bar.height - 4, width, 4);
  } else if (item.state === "failed") {
    context.strokeStyle = palette.failed;
    context.lineWidth = 1.5;
    context.setLineDash([]);
    context.beginPath();
    context.roundRect(x - 1.75, bar.y - 1.75, width + 3.5, bar.height + 3.5, 3);
    context.stroke();
  }
}

/** A sandbox that runs is a quiet band, one that is asleep a line; what is not known is hollow and dashed. */
function drawRest({ context, palette }: Surface, { item, y, height }: Bar, x: number, width: number): void {
  if (item.name === "hibernated") {
    context.fillStyle = palette.line;
    context.fillRect(x, y + height / 2, width, 1);
  } else if (item.name.startsWith("running")) {
    context.fillStyle = palette.select;
    context.fillRect(x, y, width, height);
    context.fillStyle = palette.edge;
    context.fillRect(x, y, width, 1);
    context.fillRect(x, y + height - 1, width, 1);
  } else outline(context, palette.edge, x, y, width, height, [3, 3]);
}

function outline(
  context: CanvasRenderingContext2D,
  colour: string,
  x: number,
  y: number,
  width: number,
  height: number,
  dash: readonly number[] = [],
): void {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash([...dash]);
  context.strokeRect(x + 0.5, y + 0.5, Math.max(0.5, width - 1), height - 1);
  context.setLineDash([]);
}

/** Returns where folded gaps begin and end in the view, px. */
function foldsOf(view: View): (readonly [from: number, to: number])[] {
  return piecesInView(view)
    .filter(({ isFolded }) => isFolded)
    .map(({ x, width }) => [x - view.left, x + width - view.left]);
}

/** Writes labels: above turns, within the bands of the lifecycle, beside waits. One that would cover another is left out. */
function drawLabels(
  surface: Surface,
  lane: Lane,
  bars: readonly Bar[],
  folds: readonly (readonly [from: number, to: number])[],
): void {
  const { context, palette } = surface;
  context.font = palette.font;
  context.textBaseline = "middle";
  let freeFrom = Number.NEGATIVE_INFINITY;
  const labelled = bars.filter(({ item }) => item.label !== "").sort((a, b) => a.x - b.x);
  labelled.forEach((bar, index) => {
    const { item } = bar;
    const isBand = lane.kind === "lifecycle";
    const x = item.isShell ? Math.max(0, bar.x) : isBand ? Math.max(4, bar.x + 8) : bar.x + bar.width + 6;
    if (x < freeFrom || x > surface.width) return;
    const nextX = item.isShell ? (labelled[index + 1]?.x ?? surface.width) : nextOnLine(bars, bar, surface.width);
    const room = isBand ? bar.x + bar.width - 4 : item.isShell ? Math.max(nextX - 4, bar.x + bar.width) : nextX - 4;
    const wide = widthOf(surface, item.label);
    const isFolded = folds.some(([from, to]) => x + wide > from && x < to);
    if (isFolded || x + wide > Math.min(room, surface.width)) return;
    if (isBand && item.name === "hibernated") clearBehind(surface, x, wide, bar);
    const isBad = item.state !== "ok";
    context.fillStyle = isBad ? palette.failed : palette.ink2;
    context.fillText(item.label, x, item.isShell ? 12 : bar.y + bar.height / 2 + 1);
    freeFrom = x + wide + 8;
  });
}

const widths = new WeakMap<Palette, Map<string, number>>();

/** Returns the width of a label, px: each is measured once. */
function widthOf({ context, palette }: Surface, label: string): number {
  const known = widths.get(palette) ?? new Map<string, number>();
  widths.set(palette, known);
  const width = known.get(label) ?? context.measureText(label).width;
  known.set(label, width);
  return width;
}

/** Returns where the next bar on the line of a bar begins, px. */
function nextOnLine(bars: readonly Bar[], { item, x }: Bar, width: number): number {
  return bars.reduce((next, bar) => (bar.item.row === item.row && bar.x > x ? Math.min(next, bar.x) : next), width);
}

/** Makes room for a word on the line of a sandbox that is asleep. */
function clearBehind({ context }: Surface, x: number, wide: number, { y, height }: Bar): void {
  context.clearRect(x - 6, y, wide + 12, height);
}

/** Draws a stem for each model call: its input, the cached part hollow. @param maxInput the largest stem of the session */
export function drawStems(surface: Surface, stems: readonly TokenStem[], view: View, maxInput: number): void {
  const { context, palette, height } = surface;
  const { startMs, endMs } = timeInView(view);
  // One before what is in view, whose stem reaches into it.
  const from = Math.max(0, firstFrom(stems, startMs) - 1);
  const shown = largestStems(stems.slice(from, firstFrom(stems, endMs) + 1), view.axis.xOf, 6);
  const bottom = height - 6;
  const perToken = (height - 22) / Math.max(1, maxInput);
  for (const { atMs, input, cached } of shown) {
    const x = Math.round(view.axis.xOf(atMs) - view.left) - 4;
    if (x < -5 || x > surface.width) continue;
    const whole = Math.max(1, input * perToken);
    const hollow = (cached ?? 0) * perToken;
    context.fillStyle = palette.model;
    context.fillRect(x, bottom - whole, 4, whole - hollow);
    if (hollow >= 1) outline(context, palette.model, x, bottom - hollow, 4, hollow);
  }
}

/** Returns the index of the first of what is in order of time that is not before a time. */
function firstFrom(all: readonly { readonly atMs: number }[], ms: number): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle] as { readonly atMs: number }).atMs >= ms) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Draws the cost so far as steps. @param maxUsd the last step of the session */
export function drawCosts(
  surface: Surface,
  steps: readonly CostStep[],
  view: View,
  nowMs: number,
  maxUsd: number,
): void {
  const { context, palette, width, height } = surface;
  if (steps.length === 0) return;
  const bottom = height - 6;
  const perUsd = (height - 28) / Math.max(maxUsd, 1e-9);
  const x = (axis: Axis, ms: number) => Math.min(width + 2, Math.max(-2, axis.xOf(ms) - view.left));
  const { startMs, endMs } = timeInView(view);
  // From the last step before what is in view to the first one after it.
  const from = Math.max(0, firstFrom(steps, startMs) - 1);
  const shown = steps.slice(from, firstFrom(steps, endMs) + 1);
  const line = new Path2D();
  let y = bottom - (steps[from - 1]?.usd ?? 0) * perUsd;
  line.moveTo(x(view.axis, shown[0]?.atMs ?? nowMs), bottom);
  let lastX = Number.NEGATIVE_INFINITY;
  for (const { atMs, usd } of shown) {
    const at = x(view.axis, atMs);
    const next = bottom - usd * perUsd;
    // Steps of one pixel are one line.
    if (at !== lastX) line.lineTo(at, y);
    line.lineTo(at, next);
    lastX = at;
    y = next;
  }
  const end = x(view.axis, Math.max(nowMs, steps.at(-1)?.atMs ?? nowMs));
  line.lineTo(end, y);
  const area = new Path2D(line);
  area.lineTo(end, bottom);
  area.closePath();
  context.globalAlpha = 0.6;
  context.fillStyle = palette.select;
  context.fill(area);
  context.globalAlpha = 1;
  context.strokeStyle = palette.ink;
  context.lineWidth = 1.5;
  context.setLineDash([]);
  context.stroke(line);
}
