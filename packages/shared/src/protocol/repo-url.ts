/** Validates URLs of git repositories, and removes secrets from them for display. Pure. */
import { REDACTED, TOKEN_PREFIX } from "../tracing/redact.ts";

const NO_URL = "must be an https or ssh URL of a git repository";
const SSH_PASSWORD = "an ssh URL takes no password, and its user is letters, digits, `.`, `_`, `+` or `-`: use a key";
const NESTED = "its path holds another URL, or a user and a password";

/** A host, user or path must not begin with a dash: ssh would read it as an option. */
const SCP_LIKE = /^[\w.][\w.+-]*@[\w.][\w.-]*:(?!-|\/\/)[^:]+$/;
const SSH_USER = /^[\w.+-]*$/;
/** Another URL, or `user:password@`, within a path. */
const NESTED_CREDENTIALS = /:\/\/|:[^/]*@/;

/** Returns whether a text is `user@host:path`, the scp-like syntax of git. */
export function isScpLike(text: string): boolean {
  return SCP_LIKE.test(text);
}

export interface UserInfo {
  readonly username: string;
  readonly password: string;
}

/** Returns user and password of any URL, decoded; empty if it has none. */
export function userInfoOf({ username, password }: URL): UserInfo {
  return { username: decodeOnce(username), password: decodeOnce(password) };
}

/** Separates user and password from an https URL. The user of an ssh URL stays, since it is part of the address. */
export function splitUserInfo(text: string): { readonly url: string; readonly userInfo?: UserInfo } {
  const url = URL.parse(text);
  if (url?.protocol !== "https:" || (url.username === "" && url.password === "")) return { url: text };
  const userInfo = userInfoOf(url);
  url.username = "";
  url.password = "";
  return { url: url.href, userInfo };
}

/**
 * Returns why a text is not accepted as a repository's URL; `undefined` if it is. A password is accepted only as the password of an
 * https URL, which can be stored apart: anywhere else it would be shown with the URL.
 */
export function repoUrlProblem(text: string): string | undefined {
  // No URL contains these, and parsers silently drop some of them.
  if (/[\p{Cc}\s\\]/u.test(text)) return NO_URL;
  if (isScpLike(text)) {
    const path = decodeAll(text.slice(text.indexOf(":") + 1));
    // `bob@corp.example:password@host/path` names another host than the user meant.
    return NESTED_CREDENTIALS.test(path) || /^[^/]*@/.test(path) ? NESTED : undefined;
  }
  const url = URL.parse(text);
  if (url === null || url.search !== "" || url.hash !== "" || url.pathname.length <= 1) return NO_URL;
  if (NESTED_CREDENTIALS.test(decodeAll(url.pathname))) return NESTED;
  if (url.protocol === "file:") return url.host === "" ? undefined : NO_URL;
  if (url.hostname === "" || [url.hostname, url.username].some((part) => /^(?:-|%2d)/i.test(part))) return NO_URL;
  if (url.protocol === "https:") return undefined;
  if (url.protocol !== "ssh:") return NO_URL;
  return url.password === "" && SSH_USER.test(url.username) ? undefined : SSH_PASSWORD;
}

/** A segment whose end announces a secret: in the rest of the segment, or in the next one. */
const NAMED = /^(?:.*[;,&])?[\w.-]*(?:token|secret|passw(?:or)?d|api[-_]?key|access[-_]?key|private[-_]?key|oauth2?)$/i;
const PREFIXED = new RegExp(`^${TOKEN_PREFIX}`, "i");
/** The length of the shortest tokens. */
const MIN_RANDOM = 20;

/**
 * Returns a URL that can be shown and recorded: without password, and without parts of its path that look like a token. The user is
 * removed, too, except from an ssh URL, where it is part of the address.
 */
export function shownRepoUrl(text: string): string {
  const scp = isScpLike(text) ? text.indexOf(":") + 1 : 0;
  if (scp > 0) return repoUrlProblem(text) === undefined ? text.slice(0, scp) + shownPath(text.slice(scp)) : "";
  const url = URL.parse(text);
  // Today such a URL is refused. If an older version accepted it, it is unknown which part is a secret.
  if (url === null || !["https:", "ssh:", "file:"].includes(url.protocol)) return "";
  url.password = "";
  if (url.protocol !== "ssh:") url.username = "";
  else if (!SSH_USER.test(url.username)) url.username = "";
  url.search = "";
  url.hash = "";
  const path = shownPath(url.pathname);
  // The parser normalises some URLs: one without a secret stays as it was given.
  const isPlain = path === url.pathname && text.endsWith(path) && URL.parse(text)?.href === url.href;
  if (isPlain && /^[a-z]+:\/\/[^/]*$/i.test(text.slice(0, -path.length))) return text;
  url.pathname = path;
  return url.href;
}

/**
 * Returns the URL by which spans and turns are grouped: what can be shown of it, without `.git` and a slash at its end
 * (semantic conventions, `vcs.repository.url.full`). `undefined` if nothing can be shown.
 */
export function canonicalRepoUrl(text: string): string | undefined {
  return (
    shownRepoUrl(text)
      .replace(/\/+$/, "")
      .replace(/(?<=[^/:])\.git$/, "") || undefined
  );
}

function shownPath(path: string): string {
  let isNext = false;
  const segments = path.split("/").map((segment) => {
    const clear = decodeAll(segment);
    const wasNext = isNext;
    isNext = NAMED.test(clear);
    if (clear === "") return segment;
    if (NESTED_CREDENTIALS.test(clear) || (wasNext && !isNext)) return REDACTED;
    return isToken(clear) ? keepEnding(clear) : segment;
  });
  return segments.join("/");
}

/** Returns whether a text looks like a token: by its prefix, by a name that announces a secret, or because it looks random. */
function isToken(text: string): boolean {
  const parts = text.split(/[;,&]/);
  if (parts.some((part) => /[=:]./.test(part) && NAMED.test(part.replace(/[=:].*$/s, "")))) return true;
  return parts.some((part) => (PREFIXED.test(part) && part.length >= MIN_RANDOM) || isRandom(part));
}

/** Returns whether a text has a longer run of letters and digits than names have. */
function isRandom(text: string): boolean {
  return text
    .split(/[^A-Za-z0-9]/)
    .some((word) => word.length >= MIN_RANDOM && /\d/.test(word) && /[A-Za-z]/.test(word));
}

function keepEnding(segment: string): string {
  return segment.endsWith(".git") ? `${REDACTED}.git` : REDACTED;
}

/** Decodes percent-encoding repeatedly, until none is left. */
function decodeAll(text: string): string {
  for (let [before, now] = ["", text]; ; ) {
    if (before === now) return now;
    before = now;
    now = now.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
}

/** Decodes percent-encoding once, per the URL standard; a malformed text stays as it is. */
function decodeOnce(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
