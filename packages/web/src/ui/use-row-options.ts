import { defaultRangeExtractor, type Range } from "@tanstack/react-virtual";
import { useCallback } from "react";

/**
 * Returns the options of a virtualizer that say which rows there are.
 * @param keyOf the same function for all renders: with another one, the virtualizer measures all rows again
 * @param kept the index of a row that exists wherever the window is, since it has the focus; -1 for none
 */
export function useRowOptions<Row>(rows: readonly Row[], keyOf: (row: Row) => string, kept = -1) {
  const getItemKey = useCallback(
    (index: number) => {
      const row = rows[index];
      return row === undefined ? index : keyOf(row);
    },
    [rows, keyOf],
  );
  const rangeExtractor = (range: Range) => {
    const indexes = defaultRangeExtractor(range);
    return kept < 0 || indexes.includes(kept) ? indexes : [...indexes, kept].sort((a, b) => a - b);
  };
  return { count: rows.length, getItemKey, rangeExtractor };
}

/** Returns the key of a row that has an id. */
export function idOf({ id }: { readonly id: string }): string {
  return id;
}
