/**
 * The axis of time that all lanes share. Idle time is folded: a gap is as wide as every other one, however long it lasted. Order is
 * kept, and each place on the axis is one time, so that a point of the picture can be read back. Pure.
 */
import { type Interval, length, subtract, union } from "./intervals.ts";

/** The width of a folded gap, px. */
export const FOLD_PX = 40;
/** Folded gaps take at most this part of the width when everything is shown. */
const MAX_FOLDED = 0.5;
/** Idle time folds if it lasts this long, and this part of all working time. */
const MIN_FOLDED_MS = 20_000;
const MAX_FOLDED_MS = 3_600_000;
const FOLDED_PART = 0.08;

/** A part of the time from the first to the last thing of a session. Parts follow each other without holes. */
export interface Stretch extends Interval {
  readonly isFolded: boolean;
}

export interface Piece extends Stretch {
  /** From the start of the axis, px. */
  readonly x: number;
  /** Above 0, px. */
  readonly width: number;
}

export interface Axis {
  readonly pieces: readonly Piece[];
  /** Of the whole axis, px. */
  readonly width: number;
  /** Returns the place of a time; before the first and after the last piece, the scale goes on. @param ms epoch ms */
  xOf(ms: number): number;
  /** Returns the time of a place, epoch ms: the inverse of `xOf`. */
  msOf(x: number): number;
}

/** Returns from which length on idle time is folded, ms. @param workMs how long something worked in all */
export function foldedFromMs(workMs: number): number {
  return Math.min(MAX_FOLDED_MS, Math.max(MIN_FOLDED_MS, workMs * FOLDED_PART));
}

/**
 * Returns the stretches of a session.
 * @param work when something worked; it may overlap and lie in any order
 * @param waits long waits in which nothing else needs to be seen, such as a night until a person answers: all but their ends fold
 */
export function foldIdle(work: readonly Interval[], waits: readonly Interval[], whole: Interval): Stretch[] {
  const [startMs, endMs] = [whole.startMs, Math.max(whole.endMs, whole.startMs + 1)];
  const inside = union(work).map((each) => ({
    startMs: Math.max(startMs, each.startMs),
    endMs: Math.min(endMs, each.endMs),
  }));
  const seen = union(inside);
  const fromMs = foldedFromMs(length(subtract(seen, union(waits))));
  const cores = waits
    .map((each) => ({ startMs: each.startMs + fromMs / 2, endMs: each.endMs - fromMs / 2 }))
    .filter((each) => each.endMs - each.startMs >= fromMs);
  const busy = subtract(seen, union(cores));
  const gaps = subtract([{ startMs, endMs }], busy).filter((gap) => gap.endMs - gap.startMs >= fromMs);
  const stretches: Stretch[] = [];
  let at = startMs;
  for (const gap of gaps) {
    if (gap.startMs > at) stretches.push({ startMs: at, endMs: gap.startMs, isFolded: false });
    stretches.push({ ...gap, isFolded: true });
    at = gap.endMs;
  }
  if (at < endMs) stretches.push({ startMs: at, endMs, isFolded: false });
  return stretches;
}

export interface Fit {
  /** With which the whole axis is as wide as asked, px per ms. */
  readonly pxPerMs: number;
  /** The width of a gap then, px. */
  readonly foldPx: number;
}

/** Returns the scale with which all stretches fill a width. @param width above 0, px */
export function fitWhole(stretches: readonly Stretch[], width: number): Fit {
  const folded = stretches.filter(({ isFolded }) => isFolded).length;
  const shownMs = length(stretches.filter(({ isFolded }) => !isFolded));
  const part = shownMs === 0 ? 1 : MAX_FOLDED;
  const foldPx = folded === 0 ? FOLD_PX : Math.min(FOLD_PX, (width * part) / folded);
  return { pxPerMs: shownMs === 0 ? 1 : (width - folded * foldPx) / shownMs, foldPx };
}

/**
 * Returns the axis at a scale.
 * @param stretches at least one, as {@link foldIdle} returns them
 * @param fit of the same stretches: gaps grow with the scale from their width there to {@link FOLD_PX}
 */
export function axisOf(stretches: readonly Stretch[], pxPerMs: number, fit: Fit): Axis {
  const foldPx = Math.min(FOLD_PX, fit.foldPx * Math.max(1, pxPerMs / fit.pxPerMs));
  const pieces: Piece[] = [];
  let x = 0;
  for (const each of stretches) {
    const width = each.isFolded ? foldPx : (each.endMs - each.startMs) * pxPerMs;
    pieces.push({ ...each, x, width });
    x += width;
  }
  const first = pieces[0] as Piece;
  const last = pieces.at(-1) as Piece;
  return {
    pieces,
    width: x,
    xOf: (ms) => {
      if (ms <= first.startMs) return (ms - first.startMs) * pxPerMs;
      if (ms >= last.endMs) return x + (ms - last.endMs) * pxPerMs;
      const piece = lastWhere(pieces, (each) => each.startMs <= ms);
      return piece.x + ((ms - piece.startMs) / (piece.endMs - piece.startMs)) * piece.width;
    },
    msOf: (at) => {
      if (at <= 0) return first.startMs + at / pxPerMs;
      if (at >= x) return last.endMs + (at - x) / pxPerMs;
      const piece = lastWhere(pieces, (each) => each.x <= at);
      return piece.startMs + ((at - piece.x) / piece.width) * (piece.endMs - piece.startMs);
    },
  };
}

/** Returns the last piece for which `holds` is true; it holds for the first one, and for no one after one for which it does not. */
function lastWhere(pieces: readonly Piece[], holds: (piece: Piece) => boolean): Piece {
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(pieces[middle] as Piece)) low = middle;
    else high = middle - 1;
  }
  return pieces[low] as Piece;
}
