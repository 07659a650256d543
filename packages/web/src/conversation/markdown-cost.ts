/**
 * Estimates how long it takes to render a block of Markdown, so that no answer of an agent can hold up the page: nesting, tables and marks
 * that may belong together take the renderer far more than linear time. Pure.
 */

/** Blocks of a higher cost are shown as text. The slowest of this cost take a second. */
export const MAX_BLOCK_COST = 2_000;
/** Of a whole text: what comes after is shown as text. */
export const MAX_TEXT_COST = 10_000;
/** How many lists and quotes may begin in one line. */
const MAX_NESTING = 12;
/** Of tables: the renderer fills up rows that are too short. */
const MAX_CELLS = 3_000;

/** What may be Markdown: anything but letters, digits and blanks. */
const MARK = /[^\p{L}\p{N} \t]/gu;
/** The markers of lists and quotes that a line begins with. */
const CONTAINERS = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]|$)))+/;
const CONTAINER = />|[-*+]|\d+[.)]/g;
/** The second line of a table. */
const DELIMITERS = /^[ \t>]*[|:-][ \t|:-]*$/;
/** A fence of code that only a fence ends: an indented one may be part of a list, and end with it. Backticks after it make it none. */
const FENCE = /^(`{3,}(?!`)(?!.*`)|~{3,})/;
/** A block of HTML may begin here, in which a fence is none. */
const HTML = /^ {0,3}</;

/** Returns the number of marks outside of fenced code; `Infinity` if the block is nested too deeply or has too many cells. */
export function markdownCost(block: string): number {
  const lines = outsideCode(block.split("\n"));
  const columns = Math.max(0, ...lines.filter((line) => DELIMITERS.test(line)).map((line) => line.split("|").length));
  if (columns * lines.length > MAX_CELLS || lines.some(isDeep)) return Number.POSITIVE_INFINITY;
  return lines.length + lines.reduce((sum, line) => sum + (line.match(MARK)?.length ?? 0), 0);
}

function isDeep(line: string): boolean {
  const [containers = ""] = CONTAINERS.exec(line) ?? [];
  return (containers.match(CONTAINER)?.length ?? 0) > MAX_NESTING;
}

function outsideCode(lines: readonly string[]): string[] {
  const outside: string[] = [];
  let fence: string | undefined;
  let hasHtml = false;
  for (const line of lines) {
    if (fence !== undefined) {
      if (line.trim().startsWith(fence) && /^ {0,3}(`+|~+)[ \t]*$/.test(line)) fence = undefined;
      continue;
    }
    fence = hasHtml ? undefined : FENCE.exec(line)?.[1];
    hasHtml ||= HTML.test(line);
    if (fence === undefined) outside.push(line);
  }
  return outside;
}
