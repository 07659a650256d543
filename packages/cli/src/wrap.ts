/** Fits lines into the width of a terminal. Pure. */
import { visibleText } from "@valet/shared/visible-text";

/** Returns a line in pieces of at most `width` columns, cut between words where there are any. */
export function wrap(line: string, width: number): string[] {
  const clean = plain(line);
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

/** Returns a line in pieces of at most `width` columns; all but the first are indented two columns more than it. */
export function wrapIndented(line: string, width: number): string[] {
  const clean = plain(line);
  const [indent = ""] = /^ */.exec(clean) ?? [];
  const further = `${indent}  `;
  // A narrow terminal has no room for a deep indentation.
  if (columnsOf(clean) <= width || further.length > width / 2) return wrap(line, width);
  const [first = ""] = wrap(clean, width);
  const rest = wrap(clean.slice(first.length).trimStart(), width - further.length).map((piece) => further + piece);
  return first.trim() === "" ? rest : [first, ...rest];
}

/** A terminal shows a tab in a width that depends on the column. */
const plain = (line: string) => visibleText(line).replaceAll("\t", "  ");

/** Returns the beginning of a line in at most `width` columns; `…` stands for what is cut. */
export function cutLine(line: string, width: number): string {
  const clean = plain(line);
  if (columnsOf(clean) <= width) return clean;
  let [text, columns] = ["", 0];
  for (const character of clean) {
    columns += columnsOf(character);
    if (columns > width - 1) break;
    text += character;
  }
  return `${text}…`;
}
