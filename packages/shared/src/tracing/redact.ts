import type { Redact } from "./attributes.ts";

/** What stands where a secret stood. */
export const REDACTED = "REDACTED";

/** What stands before the host. */
const USER_INFO = /^[^/?#]*@/;
/**
 * What no parser takes, for its port is no number: a password with a raw `/`, `?` or `#` in it may have ended the host
 * early. Where it ends itself, nobody can say.
 */
const BROKEN_USER_INFO = /^[^/?#:[]*:(?!\d*(?:[/?#]|$)).*@.*/s;
const QUERY_AND_FRAGMENT = /[?#].*/s;
/**
 * Slack's webhooks (`/services/T…/B…/SECRET`), workflows and triggers, Discord's webhooks, Telegram's bots. A secret ends
 * before `://`: taking its colon away would join two URLs into one.
 */
const PATH_SECRET =
  /(\/(?:services|workflows|triggers)\/T\w*\/\w+\/(?:\d+\/)?|\/webhooks\/\d+\/|\/bot\d+(?::|%3[Aa]))(?:(?!:\/\/)[^/])+/g;
/**
 * The prefixes that hosts give their tokens (GitHub, GitLab, Slack, Atlassian, npm, PyPI, Hugging Face, Docker), and that of JWTs:
 * the source of a regular expression.
 */
export const TOKEN_PREFIX =
  "(?:gh[a-z]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|ffct|oas)-|xox[a-z]-|AT(?:BB|ATT|CTT)|sk-|npm_|pypi-|hf_|dckr_pat_|eyJ)";
const PATH_TOKEN = new RegExp(`(\\/|%2[Ff])${TOKEN_PREFIX}[\\w.=-]{16,}`, "g");
/** A parameter of a path that says itself what it is: `/repo;token=…`. */
const PATH_PARAMETER =
  /((?:[;,&/]|%3[Bb])(?:[\w-]*[_-])?(?:token|secret|passw(?:or)?d|api[-_]?key|access[-_]?key)(?:=|%3[Dd]))(?:(?!:\/\/)[^/;,&])+/gi;
/** From `://` to white space or, so that JSON stays valid, a quotation mark. Other marks may be part of a password. */
const URL_IN_TEXT = /:\/\/[^\s"]*/g;

/** What becomes of a value, by its key; the first that fits. */
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

/** What a URL holds at least that has something to be taken out. */
const SUSPECT =
  /[@?#=]|%3d|\/(?:services|workflows|triggers|webhooks|bot\d)|(?:\/|%2f)(?:gh[a-z]_|github_pat_|gl[a-z]+-|xox|at[bac]|sk-|npm_|pypi-|hf_|dckr_|eyj)/i;

/** The rule of each key seen lately, for looking it up costs more than all else. */
const ruleOf = new Map<string, (value: string) => string>();
const MAX_KEYS = 1000;
const MAX_KEY_LENGTH = 128;

/**
 * Takes the secrets out of attributes; what tracers use unless told otherwise. Takes linear time, and done twice it is as
 * done once.
 *
 * - Every URL, alone or in a text, loses user and password, query string and fragment, the secret in the path of a webhook known
 *   for having one, and tokens in its path that say by prefix or name what they are. An scp-like git URL (`user@host:path`) loses its user where the key says that the value is
 *   a URL; in a text it looks like too much else, and ssh takes no password there.
 * - Values of keys that name a credential or a cookie are replaced altogether.
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

/** {@link redactSecrets} after `more`, whose results are thus as clean. */
export function redactAlso(more: Redact): Redact {
  return (key, value) => redactSecrets(key, more(key, value));
}

function cleanUrl(url: string): string {
  // Most URLs have nothing to hide: one look costs a third of three.
  if (!SUSPECT.test(url)) return url;
  const anonymous = url.includes("@") ? url.split("://").map(dropUserInfo).join("://") : url;
  return anonymous
    .replace(QUERY_AND_FRAGMENT, "")
    .replace(PATH_SECRET, `$1${REDACTED}`)
    .replace(PATH_TOKEN, `$1${REDACTED}`)
    .replace(PATH_PARAMETER, `$1${REDACTED}`);
}

/** Of every URL, as another may follow in the path or after a comma. A broken one becomes a query: all that follows goes too. */
function dropUserInfo(part: string): string {
  return part.replace(USER_INFO, "").replace(BROKEN_USER_INFO, "?");
}

/** Backslashes at the end stay: in JSON text they escape the quotation mark that follows. */
function cleanUrlInText(url: string): string {
  let end = url.length;
  while (url[end - 1] === "\\") end--;
  return cleanUrl(url.slice(0, end)) + url.slice(end);
}
