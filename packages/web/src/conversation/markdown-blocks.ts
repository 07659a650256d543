/** Cuts Markdown into blocks that can be rendered on their own, so that of a text that streams only the last one is parsed again. Pure. */

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
/** A line that may continue a list, a quote, a table or a footnote of the block before. */
const CONTINUES = /^(\s|[-*+>|]|\d+[.)]|\[)/;

/** Returns the blocks; joined by empty lines they are the text. A cut is made at an empty line outside of fenced code. */
export function markdownBlocks(text: string): string[] {
  const blocks: string[] = [];
  let lines: string[] = [];
  let fence: string | undefined;
  let isAfterBlank = false;
  for (const line of text.split("\n")) {
    const marker = FENCE.exec(line)?.[1];
    if (fence === undefined && isAfterBlank && lines.length > 0 && !CONTINUES.test(line) && line.trim() !== "") {
      blocks.push(lines.join("\n").trimEnd());
      lines = [];
    }
    if (fence === undefined) fence = marker;
    else if (marker?.startsWith(fence) === true && line.trim() === marker) fence = undefined;
    isAfterBlank = line.trim() === "";
    if (lines.length > 0 || !isAfterBlank) lines.push(line);
  }
  if (lines.length > 0) blocks.push(lines.join("\n").trimEnd());
  return blocks;
}
