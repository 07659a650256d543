/** The times that are written on the axis, and the words of its folded gaps. Pure. */
import type { Piece } from "./axis.ts";
import { piecesInView, type View } from "./view.ts";

/** Round steps, ms: in local time, from 1 ms to a day. */
const STEPS_MS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  1e3,
  2e3,
  5e3,
  10e3,
  15e3,
  30e3,
  60e3,
  120e3,
  300e3,
  600e3,
  900e3,
  1800e3,
  3600e3,
  2 * 3600e3,
  3 * 3600e3,
  6 * 3600e3,
  12 * 3600e3,
  24 * 3600e3,
] as const;
/** Between two ticks, px. */
const MIN_PX = 76;
/** The width of a tick with its day, px. */
const DAY_PX = 96;
/** The width of a day without a time of day, px. */
const DAY_ONLY_PX = 50;

export interface Tick {
  readonly ms: number;
  /** In the view, px. */
  readonly x: number;
  /** Whether its day is written, too: on the first tick in view, and where another day begins. */
  readonly hasDay: boolean;
  /** Whether there is room for the day alone. It may reach over the folded gap after its stretch. */
  readonly isDayOnly: boolean;
  readonly stepMs: number;
}

/**
 * Returns the ticks in view: the start of each stretch, and round times that have room.
 * @param offsetMs from local time to UTC at a time, ms: `getTimezoneOffset() * 60_000`
 */
export function ticksOf(view: View, offsetMs: (ms: number) => number): Tick[] {
  const stepMs = STEPS_MS.find((step) => step * view.pxPerMs >= MIN_PX) ?? (STEPS_MS.at(-1) as number);
  const ticks: Tick[] = [];
  let freeFrom = Number.NEGATIVE_INFINITY;
  let day: number | undefined;
  const add = (ms: number, piece: Piece) => {
    const x = view.axis.xOf(ms) - view.left;
    const ownDay = Math.floor((ms - offsetMs(ms)) / 86_400_000);
    const hasDay = ownDay !== day;
    const right = piece.x + piece.width - view.left;
    const whole = hasDay ? DAY_PX : MIN_PX - 8;
    const isDayOnly = hasDay && ms === piece.startMs && x + whole > right;
    const needed = isDayOnly ? DAY_ONLY_PX : whole;
    if (x < freeFrom || x < 0 || x + needed > view.width) return;
    if (!isDayOnly && x + needed > Math.max(right, 0)) return;
    ticks.push({ ms, x, hasDay, isDayOnly, stepMs });
    day = ownDay;
    freeFrom = x + needed + 8;
  };
  for (const piece of piecesInView(view)) {
    if (piece.isFolded) continue;
    const fromMs = Math.max(piece.startMs, view.axis.msOf(view.left));
    const toMs = Math.min(piece.endMs, view.axis.msOf(view.left + view.width));
    if (fromMs === piece.startMs) add(fromMs, piece);
    const shift = offsetMs(fromMs);
    const first = Math.ceil((fromMs - shift) / stepMs) * stepMs + shift;
    for (let ms = first, count = 0; ms <= toMs && count < 200; ms += stepMs, count += 1) add(ms, piece);
  }
  return ticks;
}
