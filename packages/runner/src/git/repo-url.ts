/** Which repositories may be cloned, and what of their address is a secret. Pure. */
import { isScpLike, splitUserInfo, type UserInfo, userInfoOf } from "@valet/shared/protocol/repo-url";
import type { ScopedCredentials } from "./git-command.ts";

export interface Repository {
  /** Without user and password for https; what git is given and what it keeps. */
  readonly url: string;
  readonly credentials: ScopedCredentials | undefined;
}

/**
 * Reads a repository's address: https, ssh, or where it is allowed `file:`. A user and password in it are taken out; those
 * given apart from it count more. `undefined` for any other, also for one with a query or fragment, which could hold a secret
 * that git would write down. Addresses that the API refuses today are taken where a session has one from an earlier version.
 */
export function readRepository(
  repoUrl: string,
  given: UserInfo | undefined,
  allowFile: boolean,
): Repository | undefined {
  if (/[\s\0]/.test(repoUrl)) return undefined;
  if (isScpLike(repoUrl)) return { url: repoUrl, credentials: undefined };
  const { url: text, userInfo } = splitUserInfo(repoUrl);
  const url = URL.parse(text);
  if (url === null || url.search !== "" || url.hash !== "") return undefined;
  if (url.protocol === "file:") {
    return allowFile && url.host === "" ? { url: url.href, credentials: undefined } : undefined;
  }
  // ssh would read such a host as an option.
  if (url.hostname === "" || url.hostname.startsWith("-")) return undefined;
  if (url.protocol === "ssh:") {
    url.password = "";
    return { url: url.href, credentials: undefined };
  }
  if (url.protocol !== "https:") return undefined;
  const credentials = given ?? userInfo;
  // Git's protocol for them is lines.
  if (credentials !== undefined && /[\n\0]/.test(credentials.username + credentials.password)) return undefined;
  return { url: url.href, credentials: credentials && { ...credentials, origin: url.origin } };
}

/**
 * What of it must be shown nowhere. Without a password, or with the word that some hosts want in its place, the user is a token;
 * that of an ssh URL is part of the address.
 */
export function secretsOf(repoUrl: string | undefined, given: UserInfo | undefined): string[] {
  const url = URL.parse(repoUrl ?? "");
  const all = [...(url === null ? [] : [userInfoOf(url)]), ...(given === undefined ? [] : [given])];
  return all.flatMap(({ username, password }, index) => {
    const isToken = /^(?:|x-oauth-basic)$/.test(password);
    const isAddress = index === 0 && url?.protocol === "ssh:";
    return (isToken && !isAddress ? [username] : [password]).filter((secret) => secret !== "");
  });
}
