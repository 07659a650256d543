/** Which repositories may be cloned, and what of their address is a secret. Pure. */
import type { Credentials, ScopedCredentials } from "./git-command.ts";

export interface Repository {
  /** Without user and password for https; what git is given and what it keeps. */
  readonly url: string;
  readonly credentials: ScopedCredentials | undefined;
}

/** `user@host:path`, as ssh's own tools write it. */
const SCP_LIKE = /^[\w.-]+@[A-Za-z0-9][\w.-]*:(?!\/\/)[^-\s][^\s]*$/;

/**
 * Reads a repository's address: https, ssh, or where it is allowed `file:`. A user and password in it are taken out; those
 * given apart from it count more. `undefined` for any other, also for one with a query or fragment, which could hold a secret
 * that git would write down.
 */
export function readRepository(
  repoUrl: string,
  given: Credentials | undefined,
  allowFile: boolean,
): Repository | undefined {
  if (/[\s\0]/.test(repoUrl)) return undefined;
  if (SCP_LIKE.test(repoUrl)) return { url: repoUrl, credentials: undefined };
  const url = URL.parse(repoUrl);
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
  const inUrl =
    url.username === "" && url.password === ""
      ? undefined
      : { username: decode(url.username), password: decode(url.password) };
  url.username = "";
  url.password = "";
  const credentials = given ?? inUrl;
  // Git's protocol for them is lines.
  if (credentials !== undefined && /[\n\0]/.test(credentials.username + credentials.password)) return undefined;
  return { url: url.href, credentials: credentials && { ...credentials, origin: url.origin } };
}

/**
 * What of it must be shown nowhere. Without a password, or with the word that some hosts want in its place, the user is a token.
 */
export function secretsOf(repoUrl: string | undefined, given: Credentials | undefined): string[] {
  const { username = "", password = "" } = URL.parse(repoUrl ?? "") ?? {};
  const all = [{ username: decode(username), password: decode(password) }, ...(given === undefined ? [] : [given])];
  return all.flatMap((each) => (/^(?:|x-oauth-basic)$/.test(each.password) ? [each.username] : [each.password]));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
