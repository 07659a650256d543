/** Texts that are too long. Pure. */

const CUT = "…";

/** Its beginning, in at most `max` UTF-16 code units. */
export function cutEnd(text: string, max: number): string {
  // Half of a surrogate pair at the end would be no text.
  return text.length <= max ? text : text.slice(0, max - CUT.length).toWellFormed() + CUT;
}

/** Its end, likewise. */
export function cutStart(text: string, max: number): string {
  return text.length <= max ? text : CUT + text.slice(CUT.length - max).toWellFormed();
}
