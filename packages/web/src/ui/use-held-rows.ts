import { type RefObject, useEffect, useRef, useState } from "react";
import { holdRows } from "../format/held-rows.ts";

/**
 * Keeps rows in their places while a pointer or the focus is within the list.
 * @param list the list's element
 * @param inPlace returns what is now known of a row, in the place where it is shown: in its group, for example
 * @param reset while it stays the same, rows may be held; another search, for example, shows its rows at once
 */
export function useHeldRows<Row extends { readonly id: string }>(
  next: readonly Row[],
  list: RefObject<HTMLElement | null>,
  reset: string,
  inPlace: (next: Row, shown: Row) => Row = (row) => row,
) {
  const isHeld = useIsWithin(list);
  const shown = useRef<{ readonly rows: readonly Row[]; readonly reset: string }>({ rows: [], reset });
  const [, setReleased] = useState(0);
  const held = holdRows(shown.current.rows, next, isHeld && shown.current.reset === reset, inPlace);
  shown.current = { rows: held.rows, reset };
  return {
    ...held,
    /** Shows all rows as they are now. */
    release: () => {
      shown.current = { rows: [], reset };
      setReleased((count) => count + 1);
    },
  };
}

/** Returns whether a pointer or the keyboard's focus is within an element. */
function useIsWithin(element: RefObject<HTMLElement | null>): boolean {
  const [isWithin, setWithin] = useState(false);
  useEffect(() => {
    const node = element.current;
    if (node === null) return;
    let hasPointer = false;
    const update = () => setWithin(hasPointer || node.contains(document.activeElement));
    const enter = () => {
      hasPointer = true;
      update();
    };
    const leave = () => {
      hasPointer = false;
      update();
    };
    // The focus is on nothing until the next task.
    const blur = () => setTimeout(update);
    node.addEventListener("pointerenter", enter);
    node.addEventListener("pointerleave", leave);
    node.addEventListener("focusin", update);
    node.addEventListener("focusout", blur);
    return () => {
      node.removeEventListener("pointerenter", enter);
      node.removeEventListener("pointerleave", leave);
      node.removeEventListener("focusin", update);
      node.removeEventListener("focusout", blur);
    };
  }, [element]);
  return isWithin;
}
