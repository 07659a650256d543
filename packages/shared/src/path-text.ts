/** What would hide in a line of text, or end it, and what quotes would leave ambiguous. */
const NEEDS_QUOTES = /[\p{Cc}"\\]|^\s|\s$/u;

/** Returns the path of a file as one line in which nothing of it is hidden: in quotes, with escapes, where it needs them. Pure. */
export function pathText(path: string): string {
  return NEEDS_QUOTES.test(path) ? JSON.stringify(path) : path;
}
