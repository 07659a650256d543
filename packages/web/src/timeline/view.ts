/** What of the axis is in view, and how zooming and panning change it. Pure. */
import { type Axis, axisOf, type Fit, fitWhole, type Piece, type Stretch } from "./axis.ts";
import type { Interval } from "./intervals.ts";

/** `undefined` shows the whole session. */
export type Range =
  | {
      /** The time at the left edge, epoch ms. */
      readonly leftMs: number;
      readonly pxPerMs: number;
    }
  | undefined;

/** The axis at the scale of a range, and where the view lies on it. */
export interface View {
  readonly axis: Axis;
  /** The place of the axis at the left edge, px. */
  readonly left: number;
  /** Of what is in view, px. */
  readonly width: number;
  readonly pxPerMs: number;
  readonly fit: Fit;
  readonly stretches: readonly Stretch[];
}

/** 20 µs are then a pixel. */
const MAX_PX_PER_MS = 50;
/** Kept free at the right of the last thing, for the arrows of what is open, px. */
const MARGIN_PX = 16;

/**
 * Returns the view of a range, moved so that the axis fills it.
 * @param width of the view, px
 * @param followedMs a time to keep in view at the right edge, unless the whole session is shown
 */
export function viewOf(stretches: readonly Stretch[], range: Range, width: number, followedMs?: number): View {
  const inner = Math.max(1, width - MARGIN_PX);
  const { fit, axisAt } = axesOf(stretches, inner);
  const pxPerMs = range === undefined ? fit.pxPerMs : clamp(range.pxPerMs, fit.pxPerMs, maxScale(fit));
  const axis = axisAt(pxPerMs);
  const wanted =
    range === undefined ? 0 : followedMs !== undefined ? axis.xOf(followedMs) - inner : axis.xOf(range.leftMs);
  return { axis, left: clamp(wanted, 0, Math.max(0, axis.width - inner)), width, pxPerMs, fit, stretches };
}

interface Axes {
  readonly inner: number;
  readonly fit: Fit;
  axisAt(pxPerMs: number): Axis;
}

const axes = new WeakMap<readonly Stretch[], Axes>();

/** Returns the axes of stretches: the same one as long as the scale is the same, so that panning makes none. */
function axesOf(stretches: readonly Stretch[], inner: number): Axes {
  const known = axes.get(stretches);
  if (known?.inner === inner) return known;
  const fit = fitWhole(stretches, inner);
  let last: { readonly pxPerMs: number; readonly axis: Axis } | undefined;
  const axisAt = (pxPerMs: number) => {
    if (last?.pxPerMs !== pxPerMs) last = { pxPerMs, axis: axisOf(stretches, pxPerMs, fit) };
    return last.axis;
  };
  const made = { inner, fit, axisAt };
  axes.set(stretches, made);
  return made;
}

/** Returns the parts of the axis in view, in order. */
export function piecesInView({ axis, left, width }: View): readonly Piece[] {
  const { pieces } = axis;
  const from = firstIndex(pieces, ({ x, width: wide }) => x + wide >= left);
  const to = firstIndex(pieces, ({ x }) => x > left + width);
  return pieces.slice(from, to);
}

/** Returns the first index for which `holds`, which then holds for all after it. */
function firstIndex<T>(all: readonly T[], holds: (each: T) => boolean): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(all[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Returns the range after moving what is in view. @param px to later times if above 0 */
export function panned(view: View, px: number): Range {
  return { leftMs: view.axis.msOf(clampLeft(view, view.left + px)), pxPerMs: view.pxPerMs };
}

/**
 * Returns the range after zooming, `undefined` once everything is in view.
 * @param factor above 1 to see less time
 * @param x the place in the view that stays where it is, px
 */
export function zoomed(view: View, factor: number, x: number): Range {
  const pxPerMs = Math.min(maxScale(view.fit), view.pxPerMs * factor);
  if (pxPerMs <= view.fit.pxPerMs * 1.0001) return undefined;
  const fixedMs = view.axis.msOf(view.left + x);
  const axis = axisOf(view.stretches, pxPerMs, view.fit);
  const left = clamp(axis.xOf(fixedMs) - x, 0, Math.max(0, axis.width - (view.width - MARGIN_PX)));
  return { leftMs: axis.msOf(left), pxPerMs };
}

/** Returns the range that shows a stretch of time with a little room around it. */
export function rangeAround(view: View, { startMs, endMs }: Interval): Range {
  const room = view.width * 0.06;
  const inner = Math.max(1, view.width - MARGIN_PX - 2 * room);
  let pxPerMs = view.fit.pxPerMs;
  // Gaps within do not grow with the scale, so the scale is found step by step.
  for (let step = 0; step < 4; step += 1) {
    const axis = axisOf(view.stretches, pxPerMs, view.fit);
    const wide = axis.xOf(endMs) - axis.xOf(startMs);
    pxPerMs = clamp((pxPerMs * inner) / Math.max(wide, 1e-9), view.fit.pxPerMs, maxScale(view.fit));
  }
  if (pxPerMs <= view.fit.pxPerMs * 1.0001) return undefined;
  const axis = axisOf(view.stretches, pxPerMs, view.fit);
  const left = clamp(axis.xOf(startMs) - room, 0, Math.max(0, axis.width - (view.width - MARGIN_PX)));
  return { leftMs: axis.msOf(left), pxPerMs };
}

/** Returns the range that brings a stretch of time into view with the same scale; that of now if it is in view. */
export function rangeWith(view: View, range: Range, { startMs, endMs }: Interval): Range {
  // All is in view, and so is what has begun since the axis was made.
  if (range === undefined) return undefined;
  const [from, to] = [startMs, endMs].map((ms) => Math.min(view.axis.width, view.axis.xOf(ms)) - view.left) as [
    number,
    number,
  ];
  if (to >= 0 && from <= view.width - MARGIN_PX) return range;
  return panned(view, (from + to) / 2 - view.width / 2);
}

/** Returns the time in view. */
export function timeInView({ axis, left, width }: View): Interval {
  return { startMs: axis.msOf(left), endMs: axis.msOf(left + width) };
}

function clampLeft({ axis, width }: View, left: number): number {
  return clamp(left, 0, Math.max(0, axis.width - (width - MARGIN_PX)));
}

function maxScale(fit: Fit): number {
  return Math.max(fit.pxPerMs, MAX_PX_PER_MS);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
