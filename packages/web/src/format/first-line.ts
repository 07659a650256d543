/** The beginning of a text in one line. Pure. */

/** The most characters of a line; a browser cuts it to its width anyway. */
const MAX_LINE = 200;

/** Returns the first words of a text in one line. */
export function firstLine(text: string): string {
  return text
    .slice(0, 4 * MAX_LINE)
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, MAX_LINE);
}
