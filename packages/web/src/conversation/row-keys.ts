/** Moves between the rows of a conversation that can be opened, by the arrow keys. */
import type { KeyboardEvent } from "react";

const MOVES: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowUp: -1 };

export function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !(event.target instanceof HTMLElement))
    return;
  const row = event.target.closest<HTMLElement>("[data-row]");
  const step = MOVES[event.key];
  if (row === null) {
    if (event.target !== event.currentTarget || step === undefined) return;
    const rows = event.currentTarget.querySelectorAll<HTMLElement>("[data-row]");
    focusRow(rows[step > 0 ? 0 : rows.length - 1]);
    event.preventDefault();
    return;
  }
  if (step !== undefined) {
    const rows = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-row]")];
    focusRow(rows[rows.indexOf(row) + step]);
    event.preventDefault();
  } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const isOpen = row.getAttribute("aria-expanded") === "true";
    if (isOpen !== (event.key === "ArrowRight")) row.click();
    event.preventDefault();
  }
}

function focusRow(row: HTMLElement | undefined): void {
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
}
