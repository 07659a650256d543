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
  readonly sizes: readonly Pick<VirtualItem, "key" | "size">[];
}

/** Returns where a list stands; `null` if it has no rows. */
export function placeOf(virtual: Virtualizer<HTMLElement, Element>): (ListPlace & { sizes: VirtualItem[] }) | null {
  const offsetPx = virtual.scrollOffset ?? 0;
  const top = virtual.getVirtualItemForOffset(offsetPx);
  if (top === undefined) return null;
  return { rowId: String(top.key), hiddenPx: offsetPx - top.start, sizes: virtual.takeSnapshot() };
}

/** Returns the place with the offset at which it is among the rows of now, px; `undefined` if its row is not among them. */
export function placeIn<P extends ListPlace>(
  rows: readonly Row[],
  place: P | undefined,
): (P & { readonly offsetPx: number }) | undefined {
  const index = place === undefined ? -1 : rows.findIndex(({ id }) => id === place.rowId);
  if (place === undefined || index < 0) return undefined;
  const sizes = new Map(place.sizes.map(({ key, size }) => [key, size]));
  const above = rows.slice(0, index).reduce((px, row) => px + (sizes.get(row.id) ?? rowHeight(row)), 0);
  return { ...place, offsetPx: above + place.hiddenPx };
}
