/** Markdown that is made from code: tables, and the places in documents where they stand. */

/**
 * Puts text between the markers `<!-- name:start -->` and `<!-- name:end -->` of a document.
 * @throws Error when the document has no such pair of markers, or more than one
 */
export function insertBetween(name: string, document: string, text: string): string {
  const [start, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`];
  const [before, rest, ...moreStarts] = document.split(start);
  const [, after, ...moreEnds] = rest?.split(end) ?? [];
  if (after === undefined || moreStarts.length + moreEnds.length > 0) {
    throw new Error(`the document needs one ${start} and after it one ${end}`);
  }
  return `${before}${start}\n${text}\n${end}${after}`;
}

export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

export function code(word: string): string {
  return `\`${word}\``;
}

export function codes(words: readonly string[]): string {
  return words.map(code).join(", ");
}
