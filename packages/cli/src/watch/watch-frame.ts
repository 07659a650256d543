/** Draws what `valet watch` shows on a terminal. Pure. */

import { nowLines } from "../now-text.ts";
import { wrap } from "../wrap.ts";
import type { WatchModel } from "./watch-model.ts";

/** The narrowest width, in columns. */
const MIN_WIDTH = 20;

/**
 * Returns the lines of the picture, none wider than the terminal, and no more than it has rows.
 * @param notice what to say of the connection; empty if it is up
 */
export function watchFrame(
  { now, text }: Pick<WatchModel, "now" | "text">,
  terminal: { readonly columns: number; readonly rows: number },
  nowMs: number,
  notice: string,
): string[] {
  const width = Math.max(MIN_WIDTH, terminal.columns);
  const rows = Math.max(4, terminal.rows - 1);
  const status = (now === undefined ? ["Connecting…"] : nowLines(now, nowMs)).flatMap((line) => wrap(line, width));
  const head = [...status, ...(notice === "" ? [] : wrap(notice, width))].slice(0, rows);
  const room = rows - head.length - 1;
  if (text === "" || room < 1) return head;
  const written = text.split("\n").flatMap((line) => wrap(line, width));
  return [...head, "─".repeat(width), ...written.slice(-room)];
}
