/** Decides which repositories may be cloned, and which parts of their URLs are secret. Pure. */
import { isScpLike, splitUserInfo, type UserInfo, userInfoOf } from "@valet/shared/protocol/repo-url";
import type { ScopedCredentials } from "./git-command.ts";

export interface Repository {
  /** The URL that git receives and stores, for https without user and password. */
  readonly url: string;
  readonly credentials: ScopedCredentials | undefined;
}

/**
 * Reads a repository's URL: https, ssh, or, if allowed, `file:`. Removes user and password from it; separate credentials take
 * precedence. Returns `undefined` for any other URL, and for one with a query or fragment, which could contain a secret that
 * git would store. Also accepts URLs that the API refuses today, since sessions of earlier versions may have one.
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
  // ssh would interpret such a host as an option.
  if (url.hostname === "" || url.hostname.startsWith("-")) return undefined;
  if (url.protocol === "ssh:") {
    url.password = "";
    return { url: url.href, credentials: undefined };
  }
  if (url.protocol !== "https:") return undefined;
  const credentials = given ?? userInfo;
  // Git's credential protocol is line-based.
  if (credentials !== undefined && /[\n\0]/.test(credentials.username + credentials.password)) return undefined;
  return { url: url.href, credentials: credentials && { ...credentials, origin: url.origin } };
}

/**
 * Returns the secrets of a repository. Without a password, or with the placeholder that some hosts require, the user name is a
 * token. The user name of an ssh URL is part of the address and not secret.
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
