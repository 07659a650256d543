/** The search and the filters of the inbox, as they stand in the URL. Pure. */

/** Absent fields do not filter. */
export interface InboxSearch {
  /** Words that a session's title, repository, branch, person, model or id contains. */
  readonly q?: string;
  /** The URL of a repository. */
  readonly repository?: string;
  /** A user. */
  readonly person?: string;
  readonly model?: string;
}

const FIELDS = ["q", "repository", "person", "model"] as const satisfies (keyof InboxSearch)[];
const LONGEST = 500;

/** Returns the filters of a URL. Whatever else stands there is ignored. */
export function parseInboxSearch(search: Record<string, unknown>): InboxSearch {
  const found: Partial<Record<keyof InboxSearch, string>> = {};
  for (const field of FIELDS) {
    const value = search[field];
    // The router reads `?q=12` as a number.
    const text = typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
    if (text !== "" && text.length <= LONGEST) found[field] = text;
  }
  return found;
}
