/** Addresses of git repositories: which are taken, and how one is shown. Pure. */
import { REDACTED, TOKEN_PREFIX } from "../tracing/redact.ts";

const NO_URL = "must be an https or ssh URL of a git repository";
const SSH_PASSWORD = "an ssh URL takes no password, and its user is letters, digits, `.`, `_`, `+` or `-`: use a key";
const NESTED = "its path holds another URL, or a user and a password";

/** A host, user or path that begins with a dash is an option to ssh. */
const SCP_LIKE = /^[\w.][\w.+-]*@[\w.][\w.-]*:(?!-|\/\/)[^:]+$/;
const SSH_USER = /^[\w.+-]*$/;
/** Another URL, or `user:password@`, within a path. */
const NESTED_CREDENTIALS = /:\/\/|:[^/]*@/;

/** Whether it is `user@host:path`, as ssh's own tools write an address. */
export function isScpLike(text: string): boolean {
  return SCP_LIKE.test(text);
}

export interface UserInfo {
  readonly username: string;
  readonly password: string;
}

/** User and password of any URL, decoded; empty where it has none. */
export function userInfoOf({ username, password }: URL): UserInfo {
  return { username: decodeOnce(username), password: decodeOnce(password) };
}

/** Takes user and password out of an https URL; the user of an ssh URL is part of the address. */
export function splitUserInfo(text: string): { readonly url: string; readonly userInfo?: UserInfo } {
  const url = URL.parse(text);
  if (url?.protocol !== "https:" || (url.username === "" && url.password === "")) return { url: text };
  const userInfo = userInfoOf(url);
  url.username = "";
  url.password = "";
  return { url: url.href, userInfo };
}

/**
 * Why a text is no address that we take; `undefined` if it is one. A password is taken in an https URL only, where it is the
 * URL's own, so that it can be kept apart: anywhere else it would be shown wherever the address is.
 */
export function repoUrlProblem(text: string): string | undefined {
  // No URL has these, and parsers drop some of them without a word.
  if (/[\p{Cc}\s\\]/u.test(text)) return NO_URL;
  if (isScpLike(text)) {
    const path = decodeAll(text.slice(text.indexOf(":") + 1));
    // `bob@corp.example:password@host/path` names another host than was meant.
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

/** A segment that names what comes next in it, or what the next segment is. */
const NAMED = /^(?:.*[;,&])?[\w.-]*(?:token|secret|passw(?:or)?d|api[-_]?key|access[-_]?key|private[-_]?key|oauth2?)$/i;
const PREFIXED = new RegExp(`^${TOKEN_PREFIX}`, "i");
/** As short as tokens get. */
const MIN_RANDOM = 20;

/**
 * An address as it may be shown and recorded: without password, and without what in its path looks like a token. An https URL
 * has no user either; that of an ssh URL is part of the address.
 */
export function shownRepoUrl(text: string): string {
  const scp = isScpLike(text) ? text.indexOf(":") + 1 : 0;
  if (scp > 0) return repoUrlProblem(text) === undefined ? text.slice(0, scp) + shownPath(text.slice(scp)) : "";
  const url = URL.parse(text);
  // It was refused, and where an older version took it, nobody can say what in it is a secret.
  if (url === null || !["https:", "ssh:", "file:"].includes(url.protocol)) return "";
  url.password = "";
  if (url.protocol !== "ssh:") url.username = "";
  else if (!SSH_USER.test(url.username)) url.username = "";
  url.search = "";
  url.hash = "";
  const path = shownPath(url.pathname);
  // The parser writes some addresses in another way: one with nothing to hide stays as it was given.
  const isPlain = path === url.pathname && text.endsWith(path) && URL.parse(text)?.href === url.href;
  if (isPlain && /^[a-z]+:\/\/[^/]*$/i.test(text.slice(0, -path.length))) return text;
  url.pathname = path;
  return url.href;
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

/** Whether it looks like a token: by its prefix, by what it says it is, or because nobody would name anything so. */
function isToken(text: string): boolean {
  const parts = text.split(/[;,&]/);
  if (parts.some((part) => /[=:]./.test(part) && NAMED.test(part.replace(/[=:].*$/s, "")))) return true;
  return parts.some((part) => (PREFIXED.test(part) && part.length >= MIN_RANDOM) || isRandom(part));
}

/** Letters and digits in one go for longer than a name's words have them. */
function isRandom(text: string): boolean {
  return text
    .split(/[^A-Za-z0-9]/)
    .some((word) => word.length >= MIN_RANDOM && /\d/.test(word) && /[A-Za-z]/.test(word));
}

function keepEnding(segment: string): string {
  return segment.endsWith(".git") ? `${REDACTED}.git` : REDACTED;
}

/** Without any percent-encoding, however often it was encoded. */
function decodeAll(text: string): string {
  for (let [before, now] = ["", text]; ; ) {
    if (before === now) return now;
    before = now;
    now = now.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
}

/** As the URL standard decodes it; what is no percent-encoding stays as it is. */
function decodeOnce(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
