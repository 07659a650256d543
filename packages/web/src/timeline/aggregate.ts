/**
 * Which items of a lane are drawn at a scale. Those that would be smaller than a pixel are drawn together, so that a picture needs no
 * more bars than it has pixels, however many spans there are. Pure.
 */
import type { Interval } from "./intervals.ts";
import type { Item } from "./items.ts";

/** Levels of detail: each stands for four times as long as the one below. The first one, ms. */
const FINEST_MS = 1 / 64;
const STEP = 4;

interface Level {
  readonly items: readonly Item[];
  /** The latest end of each item and of all before it, ms. */
  readonly latestEnds: Float64Array;
}

const levels = new WeakMap<readonly Item[], Level[]>();

/**
 * Returns the items to draw of those in view, in order of their starts.
 * @param items in order of their starts
 * @param msPerPx how long a pixel is
 */
export function drawnItems(items: readonly Item[], view: Interval, msPerPx: number): Item[] {
  const level = levelOf(items, msPerPx);
  const from = firstAbove(level.latestEnds, view.startMs);
  const drawn: Item[] = [];
  for (let index = from; index < level.items.length; index += 1) {
    const item = level.items[index] as Item;
    if (item.startMs > view.endMs) break;
    if ((item.endMs ?? Number.POSITIVE_INFINITY) >= view.startMs) drawn.push(item);
  }
  return drawn;
}

function levelOf(items: readonly Item[], msPerPx: number): Level {
  const known = levels.get(items) ?? [makeLevel(items)];
  levels.set(items, known);
  const steps = Math.floor(Math.log(msPerPx / FINEST_MS) / Math.log(STEP));
  const wanted = Number.isFinite(steps) ? Math.max(0, Math.min(24, steps)) : 0;
  for (let depth = known.length; depth <= wanted; depth += 1) {
    const below = known[depth - 1] as Level;
    const merged = mergeSmall(below.items, FINEST_MS * STEP ** depth);
    // Nothing was merged: the level is the one below.
    known.push(merged.length === below.items.length ? below : makeLevel(merged));
  }
  return known[wanted] as Level;
}

function makeLevel(items: readonly Item[]): Level {
  const latestEnds = new Float64Array(items.length);
  let latest = Number.NEGATIVE_INFINITY;
  items.forEach((item, index) => {
    latest = Math.max(latest, item.endMs ?? Number.POSITIVE_INFINITY);
    latestEnds[index] = latest;
  });
  return { items, latestEnds };
}

/**
 * Merges items of one row that are shorter than a cell and begin in the same one. An item stands for them: it looks like the one that
 * matters most, a failed one first, then the longest.
 */
function mergeSmall(items: readonly Item[], cellMs: number): Item[] {
  const merged: Item[] = [];
  /** By row: where its last small item is in `merged`, and in which cell. */
  const last = new Map<number, { readonly index: number; readonly cell: number }>();
  for (const item of items) {
    if (item.endMs === undefined || item.endMs - item.startMs >= cellMs) {
      merged.push(item);
      continue;
    }
    const key = item.isShell ? -1 - item.row : item.row;
    const cell = Math.floor(item.startMs / cellMs);
    const before = last.get(key);
    if (before === undefined || before.cell !== cell) {
      last.set(key, { index: merged.length, cell });
      merged.push(item);
      continue;
    }
    merged[before.index] = together(merged[before.index] as Item, item);
  }
  return merged;
}

function together(a: Item, b: Item): Item {
  const matters = rank(b) > rank(a) || (rank(b) === rank(a) && lasted(b) > lasted(a)) ? b : a;
  const endMs = Math.max(a.endMs ?? a.startMs, b.endMs ?? b.startMs);
  const count = (a.count ?? 1) + (b.count ?? 1);
  const label = matters.isShell
    ? `${count} turns${matters.state === "ok" ? "" : ` · ${matters.state}`}`
    : matters.label;
  return { ...matters, startMs: a.startMs, endMs, count, label, heardMs: undefined, usage: undefined };
}

function rank({ state, kind }: Item): number {
  return state === "failed" ? 3 : state === "lost" ? 2 : kind === "person" ? 1 : 0;
}

function lasted({ startMs, endMs }: Item): number {
  return (endMs ?? startMs) - startMs;
}

/** Returns the first index whose value is at least `value`; values never fall. */
function firstAbove(values: Float64Array, value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] as number) >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}
