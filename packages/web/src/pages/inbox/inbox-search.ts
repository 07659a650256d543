/** The search and the filters of the inbox, as they stand in the URL. Pure. */

import { hasWords, searchWords } from "@valet/shared/search-words";

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

/** What of a session can be searched. */
interface Searchable {
  readonly id: string;
  readonly title?: string | null | undefined;
  readonly repoUrl?: string | null | undefined;
  readonly branch?: string | null | undefined;
  readonly userId?: string | undefined;
  readonly model?: string | undefined;
  /** Why it needs somebody. */
  readonly why?: string | undefined;
}

/** Returns whether a session is among those that are asked for: each word of the search is found in it, and each filter holds. */
export function matches({ q = "", repository, person, model }: InboxSearch, session: Searchable): boolean {
  if (repository !== undefined && session.repoUrl !== repository) return false;
  if (person !== undefined && session.userId !== person) return false;
  if (model !== undefined && session.model !== model) return false;
  const { id, title, repoUrl, branch, userId, why } = session;
  return hasWords(searchWords(q), [id, title, repoUrl, branch, userId, session.model, why]);
}

/** Returns how many filters hold, the search among them. */
export function filterCount(search: InboxSearch): number {
  return FIELDS.filter((field) => search[field] !== undefined).length;
}
