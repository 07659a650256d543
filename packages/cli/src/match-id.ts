/** Finds what a person means by the beginning of an id. Pure. */
import { UserError } from "./errors.ts";

export interface Candidate {
  readonly id: string;
  /** What tells it apart for people: a title, a time. */
  readonly note?: string | undefined;
}

/** How many candidates an error names. */
const MAX_NAMED = 10;
/** What ids of a kind begin with; people may leave it out. */
const PREFIX = /^[a-z]{2,3}_/;

/**
 * Returns the id that is the text, or else the only one that begins with it, with or without the prefix of its kind.
 * @param what the kind of thing, for the error
 * @param remedy what to do where there is none
 * @throws UserError if none, or several, begin with it; then it names them
 */
export function matchId(what: string, text: string, candidates: readonly Candidate[], remedy: string): string {
  if (candidates.some(({ id }) => id === text)) return text;
  const found = candidates.filter(
    ({ id }) => id.startsWith(text) || (text !== "" && id.replace(PREFIX, "").startsWith(text)),
  );
  const ids = new Set(found.map(({ id }) => id));
  const [first] = ids;
  if (first === undefined)
    throw new UserError(`No ${what} begins with ${text}. ${remedy}`, { type: `${what}-not-found` });
  if (ids.size === 1) return first;
  const named = found.slice(0, MAX_NAMED).map(({ id, note }) => `\n  ${id}${note === undefined ? "" : `  ${note}`}`);
  const more = found.length > MAX_NAMED ? `\n  and ${found.length - MAX_NAMED} more` : "";
  throw new UserError(`${found.length} ${what}s begin with ${text}: give more of the id.${named.join("")}${more}`, {
    type: "ambiguous-id",
  });
}
