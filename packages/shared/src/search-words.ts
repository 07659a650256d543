/** Searches texts for words, as a person writes them. Pure. */

/** What has no width, or only changes the direction of what follows: nobody types it. */
const UNSEEN = /[\p{Cf}\u115f\u1160\u3164]/gu;

/** Returns a text as it is compared: without case, marks of width and direction, and different codes of one character. */
function comparable(text: string): string {
  return text.normalize("NFKC").replace(UNSEEN, "").toLowerCase();
}

/** Returns the words of a search; none if it consists of blanks. Every character stands for itself. */
export function searchWords(query: string): string[] {
  return comparable(query)
    .split(/\s+/u)
    .filter((word) => word !== "");
}

/** Returns whether each word is found in one of the texts. @param words of {@link searchWords} */
export function hasWords(words: readonly string[], texts: readonly (string | null | undefined)[]): boolean {
  if (words.length === 0) return true;
  const all = texts.map((text) => comparable(text ?? ""));
  return words.every((word) => all.some((text) => text.includes(word)));
}
