/** The time axis: a window onto a trace, and where times are in it. Pure. Times are µs since 1970. */
import { formatDuration, NBSP } from "../format/duration.ts";

export interface View {
  readonly startUs: number;
  /** After the start. */
  readonly endUs: number;
}

/** The narrowest window. */
const MIN_US = 100;

/** More than the page's clock may be behind: it ticks each second, and that of the browser is trusted to 2.5 s. */
const BEHIND_US = 5_000_000;

/**
 * Returns until when open spans are drawn. Ends that are a little later than now show that the page's clock is behind; a span that ends
 * far in the future is one of a wrong clock, and makes no other span older.
 * @param endUs the last time that is known of the trace
 */
export function nowOf(tickUs: number, endUs: number): number {
  return endUs - tickUs > BEHIND_US ? tickUs : Math.max(tickUs, endUs);
}

/** Returns a window that is not empty. */
export function viewOf(startUs: number, endUs: number): View {
  return { startUs, endUs: Math.max(endUs, startUs + MIN_US) };
}

/** A part of the axis, in percent of its width. */
export interface Place {
  readonly left: number;
  readonly width: number;
}

/** Returns where a period is, cut to the window; `undefined` if it is outside. */
export function placeOf({ startUs, endUs }: View, fromUs: number, toUs: number): Place | undefined {
  const end = Math.max(fromUs, toUs);
  if (end < startUs || fromUs > endUs) return undefined;
  const perUs = 100 / (endUs - startUs);
  const left = Math.max(0, (fromUs - startUs) * perUs);
  return { left, width: Math.max(0, Math.min(100, (end - startUs) * perUs) - left) };
}

/** Returns a window of the same width that is within the bounds, or all of them if it is wider. */
function within({ startUs, endUs }: View, bounds: View): View {
  const width = Math.min(endUs - startUs, bounds.endUs - bounds.startUs);
  const start = Math.min(Math.max(startUs, bounds.startUs), bounds.endUs - width);
  return viewOf(start, start + width);
}

/**
 * Zooms around a point that keeps its place.
 * @param factor above 1 zooms in
 * @param at 0 is the left edge, 1 the right one
 */
export function zoomed(view: View, bounds: View, factor: number, at: number): View {
  const width = Math.max(MIN_US, (view.endUs - view.startUs) / factor);
  const fixed = view.startUs + (view.endUs - view.startUs) * at;
  return within({ startUs: fixed - width * at, endUs: fixed + width * (1 - at) }, bounds);
}

/** @param by the part of the window's width; above 0 moves to later times */
export function panned(view: View, bounds: View, by: number): View {
  const us = (view.endUs - view.startUs) * by;
  return within({ startUs: view.startUs + us, endUs: view.endUs + us }, bounds);
}

/**
 * Returns a window of the same width that ends now.
 * @param bounds contain now while something is open. Once nothing is, the clock may go on (a linked trace is shown), but no window follows it.
 */
export function followed(view: View, bounds: View, nowUs: number): View {
  const endUs = Math.min(nowUs, bounds.endUs);
  return viewOf(endUs - (view.endUs - view.startUs), endUs);
}

/** Returns the window between two points of the axis, 0 to 1, in any order. */
export function between(view: View, one: number, other: number): View {
  const width = view.endUs - view.startUs;
  const [from, to] = [Math.min(one, other), Math.max(one, other)];
  return viewOf(view.startUs + width * Math.max(0, from), view.startUs + width * Math.min(1, to));
}

/** Whether a window shows all of the bounds. */
export function isWhole(view: View, bounds: View): boolean {
  return view.startUs <= bounds.startUs && view.endUs >= bounds.endUs;
}

export interface Tick {
  /** The time since the origin, µs. */
  readonly atUs: number;
  /** In percent of the axis. */
  readonly left: number;
  /** The same as text; that of two ticks may be the same. */
  readonly text: string;
}

const SECOND = 1_000_000;
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((ms) => ms * 1000),
  ...[1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600].map((seconds) => seconds * SECOND),
  ...[2, 3, 6, 12, 24, 48, 96, 168, 336, 720, 2160, 8760].map((hours) => hours * 3600 * SECOND),
];

/** @param count about how many fit */
export function ticksOf({ startUs, endUs }: View, originUs: number, count: number): { stepUs: number; ticks: Tick[] } {
  const widthUs = endUs - startUs;
  const stepUs = STEPS.find((step) => widthUs / step <= Math.max(1, count)) ?? widthUs;
  const ticks: Tick[] = [];
  const first = Math.ceil((startUs - originUs) / stepUs);
  for (let at = first; originUs + at * stepUs <= endUs && ticks.length <= count + 1; at++) {
    const left = ((originUs + at * stepUs - startUs) / widthUs) * 100;
    ticks.push({ atUs: at * stepUs, left, text: offsetText(at * stepUs, stepUs) });
  }
  return { stepUs, ticks };
}

/** Returns a time since the origin, as exact as the step is. @param us below 0 before the origin */
export function offsetText(us: number, stepUs = SECOND): string {
  const sign = us < 0 ? "−" : "";
  const abs = Math.abs(us);
  if (abs === 0) return `0${NBSP}s`;
  if (stepUs >= SECOND) return sign + formatDuration(abs / 1000);
  const digits = Math.ceil(Math.log10(SECOND / stepUs));
  const minutes = Math.floor(abs / (60 * SECOND));
  const seconds = ((abs - minutes * 60 * SECOND) / SECOND).toFixed(digits);
  if (minutes === 0) return `${sign}${seconds}${NBSP}s`;
  return `${sign}${minutes}${NBSP}m${NBSP}${seconds.padStart(digits + 3, "0")}${NBSP}s`;
}
