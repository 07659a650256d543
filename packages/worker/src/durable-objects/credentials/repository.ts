/** Separates a repository's URL from its credentials. Pure. */
import { shownRepoUrl, splitUserInfo } from "@valet/shared/protocol/repo-url";
import type { GitCredentials } from "../core/git-credentials.ts";

export interface Repository {
  /** The URL without secrets, which may be shown and recorded. */
  readonly repoUrl: string;
  readonly credentials?: GitCredentials;
}

/**
 * Removes the secrets from a URL, so that it can be shown and recorded: user and password of an https URL, and parts of the path
 * that look like a token. The user of an ssh URL stays, since it is part of the address.
 */
export function splitCredentials(given: string): Repository {
  const { url, userInfo } = splitUserInfo(given);
  const repoUrl = shownRepoUrl(url);
  const credentials = { ...userInfo, ...(repoUrl !== url && { url }) };
  return Object.keys(credentials).length === 0 ? { repoUrl } : { repoUrl, credentials };
}
