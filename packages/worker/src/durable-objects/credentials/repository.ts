/** A repository's URL, and what opens it. Pure. */
import { shownRepoUrl, splitUserInfo } from "@valet/shared/protocol/repo-url";
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
  const { url, userInfo } = splitUserInfo(given);
  const repoUrl = shownRepoUrl(url);
  const credentials = { ...userInfo, ...(repoUrl !== url && { url }) };
  return Object.keys(credentials).length === 0 ? { repoUrl } : { repoUrl, credentials };
}
