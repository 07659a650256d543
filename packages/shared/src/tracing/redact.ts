import type { Redact } from "./attributes.ts";

/** The replacement for a secret. */
export const REDACTED = "REDACTED";

/** User and password: everything before the host. */
const USER_INFO = /^[^/?#]*@/;
/**
 * An authority that no parser accepts, since its port is not a number: a raw `/`, `?` or `#` in a password may have ended the host
 * early. It is unknown where the password ends.
 */
const BROKEN_USER_INFO = /^[^/?#:[]*:(?!\d*(?:[/?#]|$)).*@.*/s;
const QUERY_AND_FRAGMENT = /[?#].*/s;
/**
 * Secrets in the paths of Slack's webhooks (`/services/T…/B…/SECRET`), workflows and triggers, Discord's webhooks, Telegram's bots.
 * A secret ends before `://`, since removing its colon would join two URLs.
 */
const PATH_SECRET =
  /(\/(?:services|workflows|triggers)\/T\w*\/\w+\/(?:\d+\/)?|\/webhooks\/\d+\/|\/bot\d+(?::|%3[Aa]))(?:(?!:\/\/)[^/])+/g;
/**
 * The source of a regular expression for the prefixes of tokens (GitHub, GitLab, Slack, Atlassian, npm, PyPI, Hugging Face, Docker)
 * and of JWTs.
 */
export const TOKEN_PREFIX =
  "(?:gh[a-z]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|ffct|oas)-|xox[a-z]-|AT(?:BB|ATT|CTT)|sk-|npm_|pypi-|hf_|dckr_pat_|eyJ)";
const PATH_TOKEN = new RegExp(`(\\/|%2[Ff])${TOKEN_PREFIX}[\\w.=-]{16,}`, "g");
/** A path parameter whose name announces a secret: `/repo;token=…`. */
const PATH_PARAMETER =
  /((?:[;,&/]|%3[Bb])(?:[\w-]*[_-])?(?:token|secret|passw(?:or)?d|api[-_]?key|access[-_]?key)(?:=|%3[Dd]))(?:(?!:\/\/)[^/;,&])+/gi;
/**
 * A URL from `://` to white space or, so that JSON stays valid, to a quotation mark. Other characters may be part of a password.
 */
const URL_IN_TEXT = /:\/\/[^\s"]*/g;

/** How to redact a value, by its key. The first matching rule applies. */
const RULES: readonly (readonly [key: RegExp, clean: (value: string) => string])[] = [
  [
    /(?:authorization|cookie|token|secret|passw(?:or)?d|credentials?|(?:api|access|private|secret)[-_]?key)$/i,
    () => REDACTED,
  ],
  [/(?:^|\.)url\.(?:query|fragment)$/, () => ""],
  // One URL, or a part of one, from end to end.
  [/(?:^|[._-])ur[il](?:$|[._-])|^http\.target$|\.(?:location|referer)$/i, cleanUrl],
  [/^/, (text) => (text.includes("://") ? text.replace(URL_IN_TEXT, cleanUrlInText) : text)],
];

/** Matches every URL that may need redaction. */
const SUSPECT =
  /[@?#=]|%3d|\/(?:services|workflows|triggers|webhooks|bot\d)|(?:\/|%2f)(?:gh[a-z]_|github_pat_|gl[a-z]+-|xox|at[bac]|sk-|npm_|pypi-|hf_|dckr_|eyj)/i;

/** A cache of each key's rule, since finding the rule costs more than everything else. */
const ruleOf = new Map<string, (value: string) => string>();
const MAX_KEYS = 1000;
const MAX_KEY_LENGTH = 128;

/**
 * Redacts secrets in attributes; the default of tracers. Takes linear time, and is idempotent.
 *
 * - Every URL, alone or in a text, loses user and password, query string and fragment, the secret in the path of a known kind of
 *   webhook, and tokens in its path that a prefix or a name identifies. An scp-like git URL (`user@host:path`) loses its user only
 *   if the key says that the value is a URL: in a text it resembles too many other things, and ssh takes no password there.
 * - Values of keys that name a credential or a cookie are replaced completely.
 */
export const redactSecrets: Redact = (key, value) => {
  let clean = ruleOf.get(key);
  if (clean === undefined) {
    clean = RULES.find(([pattern]) => pattern.test(key))![1];
    if (ruleOf.size >= MAX_KEYS) ruleOf.clear();
    if (key.length <= MAX_KEY_LENGTH) ruleOf.set(key, clean);
  }
  return clean(value);
};

/** Returns a redactor that applies `more`, and then {@link redactSecrets} to its result. */
export function redactAlso(more: Redact): Redact {
  return (key, value) => redactSecrets(key, more(key, value));
}

function cleanUrl(url: string): string {
  // Most URLs contain no secret, and one test costs a third of the replacements.
  if (!SUSPECT.test(url)) return url;
  const anonymous = url.includes("@") ? url.split("://").map(dropUserInfo).join("://") : url;
  return anonymous
    .replace(QUERY_AND_FRAGMENT, "")
    .replace(PATH_SECRET, `$1${REDACTED}`)
    .replace(PATH_TOKEN, `$1${REDACTED}`)
    .replace(PATH_PARAMETER, `$1${REDACTED}`);
}

/**
 * Removes user and password. Called for each URL, as another may follow in a path. A broken one becomes a query, which is
 * removed.
 */
function dropUserInfo(part: string): string {
  return part.replace(USER_INFO, "").replace(BROKEN_USER_INFO, "?");
}

/** Redacts a URL but keeps backslashes at its end: in JSON they escape the quotation mark that follows. */
function cleanUrlInText(url: string): string {
  let end = url.length;
  while (url[end - 1] === "\\") end--;
  return cleanUrl(url.slice(0, end)) + url.slice(end);
}
