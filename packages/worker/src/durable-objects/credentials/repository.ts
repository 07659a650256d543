/** A repository's URL, and what opens it. Pure. */
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { GitCredentials } from "../core/git-credentials.ts";

export interface Repository {
  /** As it may be shown and recorded. */
  readonly repoUrl: string;
  readonly credentials?: GitCredentials;
}

/**
 * Takes the secrets out of a URL, so that everything that shows or records it does without them: user and password of an https
 * URL, and what in a path looks like a token. The user of an ssh URL is part of the address.
 */
export function splitCredentials(given: string): Repository {
  const url = URL.parse(given);
  const hasUser = url?.protocol === "https:" && (url.username !== "" || url.password !== "");
  const user = hasUser && { username: decode(url.username), password: decode(url.password) };
  if (hasUser) {
    url.username = "";
    url.password = "";
  }
  const clean = hasUser ? url.href : given;
  const repoUrl = shownRepoUrl(clean);
  const credentials = { ...user, ...(repoUrl !== clean && { url: clean }) };
  return Object.keys(credentials).length === 0 ? { repoUrl } : { repoUrl, credentials };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
