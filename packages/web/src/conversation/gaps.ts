/** Where messages between others are not read yet: a link to an old message reads what is around it, and not all that came since. Pure. */

/** What follows a message and is not read. */
export interface Gap {
  /** Reads on, towards the newer messages. */
  readonly cursor: string;
  readonly state: "more" | "loading" | "failed";
}

/** By the id of the message that they follow. */
export type Gaps = ReadonlyMap<string, Gap>;

export const NO_GAPS: Gaps = new Map();

/**
 * Returns the gaps once messages have been read that follow one another.
 * @param run their ids, the oldest first
 * @param isKnown whether a message was there before
 * @param cursor reads on after the last of them; `undefined` if it is the newest message
 */
export function afterRun(
  gaps: Gaps,
  run: readonly string[],
  isKnown: (id: string) => boolean,
  cursor: string | undefined,
): Gaps {
  const next = new Map(gaps);
  for (const id of run.slice(0, -1)) next.delete(id);
  const last = run.at(-1);
  if (last === undefined) return next;
  if (cursor === undefined) next.delete(last);
  else if (!isKnown(last)) next.set(last, { cursor, state: "more" });
  return next;
}

/** Returns the gaps with one in another state. */
export function inState(gaps: Gaps, id: string, state: Gap["state"]): Gaps {
  const gap = gaps.get(id);
  return gap === undefined ? gaps : new Map(gaps).set(id, { ...gap, state });
}
