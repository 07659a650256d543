/** Ranges of ids that begin with a text, for statements that read an index. Pure. */

/** Follows every character of an id in SQLite's binary order. */
const LAST_CHARACTER = "\u{10ffff}";

export interface IdRange {
  /** The first id in the range may be this one. */
  readonly from: string;
  /** All ids in the range are before this one. */
  readonly to: string;
}

/** Returns the range of the ids that begin with a text. */
export function idRange(text: string): IdRange {
  return { from: text, to: text + LAST_CHARACTER };
}
