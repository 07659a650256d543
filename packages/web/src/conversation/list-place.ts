/** The place of a reader in the list of rows: a row, since others may come before it while the reader is elsewhere. */
import type { VirtualItem, Virtualizer } from "@tanstack/react-virtual";
import { rowHeight } from "./row-height.ts";
import type { Row } from "./rows.ts";

export interface ListPlace {
  /** The row at the top of the window. */
  readonly rowId: string;
  /** How much of it is above the window, px. */
  readonly hiddenPx: number;
  /** The rows that have been measured. */
  readonly measured: VirtualItem[];
}

/** Returns where a list stands; `null` if it has no rows. */
export function placeOf(virtual: Virtualizer<HTMLElement, Element>): ListPlace | null {
  const offsetPx = virtual.scrollOffset ?? 0;
  const top = virtual.getVirtualItemForOffset(offsetPx);
  if (top === undefined) return null;
  return { rowId: String(top.key), hiddenPx: offsetPx - top.start, measured: virtual.takeSnapshot() };
}

/** Returns how far from the start a place is among the rows of now, px; `undefined` if its row is not among them. */
export function offsetOf({ rowId, hiddenPx, measured }: ListPlace, rows: readonly Row[]): number | undefined {
  const index = rows.findIndex(({ id }) => id === rowId);
  if (index < 0) return undefined;
  const sizes = new Map(measured.map(({ key, size }) => [key, size]));
  return rows.slice(0, index).reduce((px, row) => px + (sizes.get(row.id) ?? rowHeight(row)), hiddenPx);
}
