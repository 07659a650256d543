/** Finds what stands between backticks in a sentence of the API. Pure. */

interface TextPart {
  readonly text: string;
  readonly isCode: boolean;
  /** Where it begins, in UTF-16 code units. */
  readonly at: number;
}

/** Returns the parts of a sentence, without the backticks. A backtick without a second one stays as it is. */
export function codeParts(sentence: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const { 0: quoted, index } of sentence.matchAll(/`[^`\n]+`/g)) {
    if (index > end) parts.push({ text: sentence.slice(end, index), isCode: false, at: end });
    parts.push({ text: quoted.slice(1, -1), isCode: true, at: index });
    end = index + quoted.length;
  }
  if (end < sentence.length) parts.push({ text: sentence.slice(end), isCode: false, at: end });
  return parts;
}
