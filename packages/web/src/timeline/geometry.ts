/** Where the bars of a lane are, and which one is at a point. Pure. */
import { drawnItems } from "./aggregate.ts";
import type { Item, Lane } from "./items.ts";
import { timeInView, type View } from "./view.ts";

interface LaneShape {
  /** px, like all of these. */
  readonly height: number;
  readonly barTop: (row: number) => number;
  readonly barHeight: number;
  /** Of the thin bars above the others. */
  readonly shellTop: number;
}

const SHELL_HEIGHT = 3;
/** A bar is at least so wide, px. */
const MIN_WIDTH = 2;
/** A pointer may be so far from a bar that it means, px. */
const REACH = 3;

export function shapeOf({ kind, rows }: Pick<Lane, "kind" | "rows">): LaneShape {
  const [barHeight, pitch] = rows === 1 ? [20, 20] : [12, 14];
  const top = kind === "channel" || kind === "child" ? 28 : 10;
  return { height: top + pitch * rows + 10, barTop: (row) => top + pitch * row, barHeight, shellTop: 21 };
}

/** An item and where it is in the view, px. */
export interface Bar {
  readonly item: Item;
  readonly x: number;
  readonly width: number;
  readonly y: number;
  readonly height: number;
  /** Where the last sign of life of what was lost is, px; `undefined` if it is not known. */
  readonly heardX?: number;
}

/** What is drawn over the others: what a call waits for, over the call. */
const ON_TOP: readonly Item["kind"][] = ["retry", "person", "lost"];

/** Returns the bars of a lane in view, in the order in which they are drawn. */
export function barsOf(lane: Lane, view: View, nowMs: number): Bar[] {
  const shape = shapeOf(lane);
  const inView = drawnItems(lane.items, timeInView(view), 1 / view.pxPerMs);
  const bars = inView.map((item) => barOf(item, shape, view, nowMs));
  const isBelow = ({ item }: Bar) => item.isShell || !ON_TOP.includes(item.kind);
  return [...bars.filter(isBelow), ...bars.filter((bar) => !isBelow(bar))];
}

export function barOf(item: Item, shape: LaneShape, view: View, nowMs: number): Bar {
  const x = view.axis.xOf(item.startMs) - view.left;
  const right = view.axis.xOf(item.endMs ?? Math.max(nowMs, item.startMs)) - view.left;
  const width = Math.max(MIN_WIDTH, right - x - 1);
  if (item.isShell) return { item, x, width, y: shape.shellTop, height: SHELL_HEIGHT };
  const place = { item, x, width, y: shape.barTop(item.row), height: shape.barHeight };
  return item.heardMs === undefined ? place : { ...place, heardX: view.axis.xOf(item.heardMs) - view.left };
}

/** Returns the bar at a point of a lane; of several the one that was drawn last, if none is hit exactly the nearest. */
export function barAt(bars: readonly Bar[], x: number, y: number): Bar | undefined {
  const isAtLine = (bar: Bar) =>
    bar.item.isShell ? y < bar.y + bar.height : y >= bar.y - 1 && y <= bar.y + bar.height + 1;
  let best: Bar | undefined;
  let bestDistance = REACH;
  for (const bar of bars) {
    if (!isAtLine(bar)) continue;
    const distance = Math.max(0, bar.x - x, x - bar.x - bar.width);
    if (distance > bestDistance) continue;
    best = bar;
    bestDistance = distance;
  }
  return best;
}
