/** Rows that stay where they are while a pointer or the focus is on them. Pure. */

interface HeldRows<Row> {
  readonly rows: readonly Row[];
  /** How many rows are new and not shown yet. */
  readonly waiting: number;
}

/**
 * Returns the rows to show. While they are held, the rows keep their order and their places, with what is now known of each; new ones
 * wait, and those that have moved or gone stay until the hold ends.
 * @param shown the rows that are shown; `next` those that would be
 * @param inPlace returns what is now known of a row, in the place where it is shown
 */
export function holdRows<Row extends { readonly id: string }>(
  shown: readonly Row[],
  next: readonly Row[],
  isHeld: boolean,
  inPlace: (next: Row, shown: Row) => Row = (row) => row,
): HeldRows<Row> {
  if (!isHeld || shown.length === 0) return { rows: next, waiting: 0 };
  const nextById = new Map(next.map((row) => [row.id, row]));
  const shownIds = new Set(shown.map(({ id }) => id));
  return {
    rows: shown.map((row) => {
      const known = nextById.get(row.id);
      return known === undefined ? row : inPlace(known, row);
    }),
    waiting: next.filter(({ id }) => !shownIds.has(id)).length,
  };
}
