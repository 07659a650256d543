/** Where on the lanes what is selected is, and moves from item to item. Pure. */
import type { Selection } from "../app/selection.ts";
import type { Item, Lane } from "./items.ts";

export interface Place {
  readonly lane: Lane;
  readonly item: Item;
}

/** Returns the selected item: that of the span, else the turn, or the wait, of the message, else what there is of the trace. */
export function selectedPlace(lanes: readonly Lane[], { message, span, trace }: Selection): Place | undefined {
  if (span !== undefined) {
    const found = find(lanes, ({ spanId }) => spanId === span);
    if (found !== undefined) return found;
  }
  if (message === undefined) {
    const ofTrace = (item: Item) => trace !== undefined && item.traceId === trace;
    return findLast(lanes, (item) => item.isShell && ofTrace(item)) ?? find(lanes, ofTrace);
  }
  // Of several attempts the last one.
  return (
    findLast(lanes, (item) => item.isShell && item.messageId === message) ??
    find(lanes, ({ messageId }) => messageId === message)
  );
}

function find(lanes: readonly Lane[], is: (item: Item) => boolean): Place | undefined {
  for (const lane of lanes) {
    const item = lane.items.find(is);
    if (item !== undefined) return { lane, item };
  }
  return undefined;
}

function findLast(lanes: readonly Lane[], is: (item: Item) => boolean): Place | undefined {
  for (const lane of lanes) {
    const item = lane.items.findLast(is);
    if (item !== undefined) return { lane, item };
  }
  return undefined;
}

/** Returns what an item selects. What a child session did is in a trace of that session, and no trace of this one. */
export function selectionOf({ lane, item: { messageId, spanId, traceId } }: Place): Omit<Selection, "channel"> {
  return {
    ...(messageId !== undefined && { message: messageId }),
    ...(spanId !== undefined && { span: spanId }),
    ...(traceId !== undefined && lane.kind !== "child" && { trace: traceId }),
  };
}

/** Returns where a key leads: along the lane, to its ends, or to what is next in time on the lane above or below. */
export function moved(lanes: readonly Lane[], at: Place, key: string): Place | undefined {
  const filled = lanes.filter(({ items }) => items.length > 0);
  const lane = filled.find(({ id }) => id === at.lane.id);
  if (lane === undefined) return undefined;
  const index = Math.max(
    0,
    lane.items.findIndex(({ id }) => id === at.item.id),
  );
  const to = (item: Item | undefined, on = lane) => (item === undefined ? undefined : { lane: on, item });
  if (key === "ArrowLeft") return to(lane.items[Math.max(0, index - 1)]);
  if (key === "ArrowRight") return to(lane.items[Math.min(lane.items.length - 1, index + 1)]);
  if (key === "Home") return to(lane.items[0]);
  if (key === "End") return to(lane.items.at(-1));
  if (key !== "ArrowUp" && key !== "ArrowDown") return undefined;
  const other = filled[filled.indexOf(lane) + (key === "ArrowUp" ? -1 : 1)];
  return other === undefined ? undefined : to(nearest(other.items, at.item.startMs), other);
}

/** Returns the item that begins closest to a time. @param items in order of their starts */
export function nearest(items: readonly Item[], ms: number): Item | undefined {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((items[middle] as Item).startMs < ms) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [items[low - 1], items[low]];
  if (before === undefined || after === undefined) return before ?? after;
  return ms - before.startMs <= after.startMs - ms ? before : after;
}
