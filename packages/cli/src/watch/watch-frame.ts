/** Draws what `valet watch` shows on a terminal. Pure. */
import { nowLines } from "../now-text.ts";
import { visibleText } from "../visible-text.ts";
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

/** Returns a line in pieces of at most `width` columns, cut between words where there are any. */
export function wrap(line: string, width: number): string[] {
  const clean = visibleText(line).replaceAll("\t", "  ");
  if (columnsOf(clean) <= width) return [clean];
  const pieces: string[] = [];
  let piece = "";
  let columns = 0;
  for (const word of clean.split(/(?<= )/)) {
    if (columns + columnsOf(word.trimEnd()) > width && piece !== "") {
      pieces.push(piece.trimEnd());
      [piece, columns] = ["", 0];
    }
    for (const character of word) {
      const wide = columnsOf(character);
      if (columns + wide > width) {
        pieces.push(piece);
        [piece, columns] = ["", 0];
        if (character === " ") continue;
      }
      piece += character;
      columns += wide;
    }
  }
  return [...pieces, piece.trimEnd()];
}

/** East Asian and emoji characters take two columns, combining marks none. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += /\p{Mark}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}
