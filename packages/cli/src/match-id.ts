/** Finds what a person means by the beginning of an id. Pure. */
import { UserError } from "./errors.ts";

export interface Candidate {
  readonly id: string;
  /** What tells it apart for people: a title, a time. */
  readonly note?: string | undefined;
}

/** What is looked for, in words for the error. */
export interface Sought {
  readonly one: string;
  readonly many: string;
  /** Where there is none: the error's type, and what to do. */
  readonly type: string;
  readonly remedy: string;
}

/** How many candidates an error names. */
const MAX_NAMED = 10;
/** What ids of a kind begin with; people may leave it out. */
const PREFIX = /^[a-z]{2,3}_/;

/** What ids of other kinds look like, in the words of {@link Sought}. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^ses_/, "session"],
  [/^msg_/, "message"],
  [/^wfl_/, "workflow"],
  [/^att_/, "turn"],
  [/^[0-9a-f]{32}$/, "trace"],
  [/^tok_/, "token"],
  [/^wh_/, "endpoint"],
  [/^(?:per|que)_/, "request"],
];

const withArticle = (words: string) => `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;

function kindOf(text: string): string | undefined {
  return KINDS.find(([form]) => form.test(text))?.[1];
}

/**
 * Returns the id that is the text, or else the only one that begins with it, with or without the prefix of its kind.
 * @param hasMore whether there are more candidates, which are not known
 * @throws UserError if none, or several, begin with it; then it names them
 */
export function matchId(text: string, candidates: readonly Candidate[], sought: Sought, hasMore = false): string {
  if (candidates.some(({ id }) => id === text)) return text;
  const found = candidates.filter(
    ({ id }) => text !== "" && (id.startsWith(text) || id.replace(PREFIX, "").startsWith(text)),
  );
  const ids = new Set(found.map(({ id }) => id));
  const [first] = ids;
  if (first === undefined) {
    const kind = kindOf(text);
    const what =
      text === ""
        ? `An empty text names no ${sought.one}.`
        : kind === undefined || sought.one.includes(kind)
          ? `No ${sought.one} has an id that begins with ${text}.`
          : `${text} looks like the id of ${withArticle(kind)}, not of ${withArticle(sought.one)}.`;
    throw new UserError(`${what} ${sought.remedy}`, { type: sought.type });
  }
  if (ids.size === 1 && !hasMore) return first;
  throw new UserError(ambiguousText(text, found, sought, hasMore), { type: "ambiguous-id" });
}

function ambiguousText(text: string, found: readonly Candidate[], { many }: Sought, hasMore: boolean): string {
  const named = found.slice(0, MAX_NAMED).map(({ id, note }) => `\n  ${id}${note === undefined ? "" : `  ${note}`}`);
  const unnamed = found.length - named.length;
  const more = hasMore ? "\n  and more" : unnamed > 0 ? `\n  and ${unnamed} more` : "";
  const count = hasMore ? `More than ${found.length}` : found.length;
  return `${count} ${many} have ids that begin with ${text}: give more of the id.${named.join("")}${more}`;
}
