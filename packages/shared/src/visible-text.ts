/**
 * Makes control characters in text of agents, models and commands visible: a terminal would interpret them, and a page would hide them.
 * Also tells whether a text shows anything at all. Pure.
 */

/**
 * Control characters other than tab and line feed, and those that change the direction of text. They can
 * hide or change the text around them, for example a command that a person is asked to allow.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be seen
const ORDERS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/** What orders direction without overriding it: marks (ALM, LRM, RLM), and isolates with their end (LRI, RLI, FSI, PDI). */
const GENTLE = /[\u061c\u200e\u200f\u2066-\u2069]/;
/** Letters of scripts that are written from right to left (Unicode's blocks for them, as of `DerivedBidiClass.txt`). */
const RIGHT_TO_LEFT = /[[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]&&\p{L}]/v;

/**
 * A character that shows something: no white space, no control character, and none that Unicode lets programs ignore when they draw text
 * (`Default_Ignorable_Code_Point`: zero-width characters, variation selectors, Hangul fillers). The Braille pattern without dots is not
 * among those.
 */
const SEEN = /[^\s\p{Cc}\p{DI}\u2800]/u;

/** The pictures of U+0000 and the following characters start at U+2400. */
const FIRST_PICTURE = 0x2400;
const PICTURE_OF_DELETE = "\u2421";
const NO_PICTURE = "\ufffd";
const PDI = "\u2069";

/** Returns whether a reader sees anything of the text. */
export function hasVisibleText(text: string): boolean {
  return SEEN.test(text);
}

/**
 * Returns the text with a visible picture in place of each control character: `␛[31m`. CRLF becomes a line feed. A line with letters of a
 * right-to-left script keeps its marks and its complete isolates: keyboards write them, and they move nothing that the letters could not
 * move. Overrides and embeddings are always shown, since they alone can show letters in another order (`gnp.exe` that looks like `exe.png`).
 */
export function visibleText(text: string): string {
  const lines = text.replaceAll("\r\n", "\n");
  // Most text has none.
  if (lines.search(ORDERS) < 0) return lines;
  return lines.split("\n").map(visibleLine).join("\n");
}

function visibleLine(line: string): string {
  const kept = GENTLE.test(line) && RIGHT_TO_LEFT.test(line) ? keptAt(line) : undefined;
  return line.replace(ORDERS, (order, at: number) => {
    if (kept?.has(at)) return order;
    if (order === "\u007f") return PICTURE_OF_DELETE;
    return order < " " ? String.fromCodePoint(FIRST_PICTURE + order.charCodeAt(0)) : NO_PICTURE;
  });
}

/** Returns where the line has marks, and isolates that end in it: an end too many would end what isolates the whole text. */
function keptAt(line: string): ReadonlySet<number> {
  const kept = new Set<number>();
  const open: number[] = [];
  for (let at = 0; at < line.length; at++) {
    const each = line.charAt(at);
    if (!GENTLE.test(each)) continue;
    if (each < "\u2066") kept.add(at);
    else if (each !== PDI) open.push(at);
    else {
      const begin = open.pop();
      if (begin !== undefined) kept.add(begin).add(at);
    }
  }
  return kept;
}
