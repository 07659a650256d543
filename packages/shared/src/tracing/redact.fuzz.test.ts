import fc from "fast-check";
import { expect } from "vitest";
import { fuzz } from "../../test/fuzz-runs.ts";
import { redactSecrets } from "./redact.ts";

/** A key that says nothing of its value. */
const TEXT = "exception.message";
const CANARY = "cAnArY";
/** Anything that does not end a URL in a text. */
const raw = fc.string({
  unit: fc.oneof(fc.constantFrom(..."/?#@:\\[]'`<>%&=,;"), fc.string({ minLength: 1, maxLength: 1 })),
});
const unbroken = raw.map((text) => text.replace(/[\s"]|:\/\//g, ""));
const withCanary = fc.tuple(unbroken, unbroken).map(([before, after]) => `${before}${CANARY}${after}.`);
const user = withCanary.map((text) => text.replace(/[/?#:]/g, ""));
const password = withCanary.map((text) => text.replace(/[/?#]/g, ""));
const userInfos = fc.oneof(
  fc.constant(""),
  user.map((name) => `${name}@`),
  fc.tuple(user, password).map((both) => `${both.join(":")}@`),
);
const tails = fc.oneof(
  fc.constant(""),
  fc.tuple(fc.constantFrom("?", "#", "?a=b&", "?next=https://"), withCanary).map((both) => both.join("")),
);
const urls = fc
  .record({
    scheme: fc.constantFrom("https", "http", "ssh", "git+https", "postgres", "HTTPS"),
    userInfo: userInfos,
    path: fc.constantFrom("", "/", ":8080", ":8080/@scope/pkg", "/org/repo.git", "/@scope/pkg", "/a%20b/c;d"),
    tail: tails,
  })
  .map(({ scheme, userInfo, path, tail }) => ({
    url: `${scheme}://${userInfo}host.example${path}${tail}`,
    clean: `${scheme}://host.example${path}`,
  }));
/** What no parser takes for a user and a password, but a person may have meant so. */
const brokenUrls = fc
  .tuple(unbroken, unbroken, tails)
  .map(([before, after, tail]) => [`p${before.replaceAll("@", "")}${CANARY}${after}@`, tail] as const)
  .filter(([password]) => !password.includes("://"))
  .map(([password, tail]) => `https://user:${password}host.example/${tail}`);
const words = fc.string().map((text) => text.replaceAll("://", ""));
/** Strings in which what matters comes often. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom("://", "https://", "@", ":", "/", "?", "#", "\\", '"', " ", "u:p@", "h:80", "[::1]"),
      fc.constantFrom("/ghp_0123456789abcdef", ";token=", "%3Bapi_key%3D", "/eyJ", "="),
      fc.constantFrom("/services/T1/B2/", "/webhooks/1/", "/bot1:", "s3cret", "\ud800", "\n"),
      fc.string({ maxLength: 5 }),
    ),
  )
  .map((parts) => parts.join(""));
const keys = fc.constantFrom(TEXT, "url.full", "url.path", "url.query", "http.target", "authorization", "repo_url", "");

fuzz(
  "user info and query never come out, and the text around them does",
  fc.tuple(words, urls, words),
  ([before, { url, clean }, after]) => {
    expect(redactSecrets(TEXT, `${before} ${url} ${after}`)).toBe(`${before} ${clean} ${after}`);
  },
);

fuzz(
  "nor do they out of a URL alone",
  fc.tuple(fc.constantFrom(TEXT, "url.full", "http.url"), urls),
  ([key, { url, clean }]) => {
    expect(redactSecrets(key, url)).toBe(clean);
  },
);

fuzz(
  "a password with raw marks in it does not come out either",
  fc.tuple(
    fc.constantFrom(TEXT, "url.full"),
    words.filter((text) => !text.includes(CANARY)),
    brokenUrls,
  ),
  ([key, before, url]) => {
    expect(redactSecrets(key, `${before} ${url}`)).not.toContain(CANARY);
  },
);

fuzz(
  "a text without URLs stays as it is",
  hostile.map((text) => text.replaceAll("://", "")).filter((text) => !text.includes("://")),
  (plain) => {
    expect(redactSecrets(TEXT, plain)).toBe(plain);
  },
);

fuzz("done twice is as done once", fc.tuple(keys, hostile), ([key, text]) => {
  const once = redactSecrets(key, text);
  expect(redactSecrets(key, once)).toBe(once);
});

fuzz(
  "JSON stays JSON",
  fc.tuple(
    fc.array(
      fc.oneof(
        hostile,
        urls.map(({ url }) => url),
      ),
    ),
    fc.nat(3),
  ),
  ([texts, depth]) => {
    let json = JSON.stringify(texts);
    for (let i = 0; i < depth; i++) json = JSON.stringify(json);
    let value = JSON.parse(redactSecrets(TEXT, json));
    for (let i = 0; i < depth; i++) value = JSON.parse(value);
    expect(value).toHaveLength(texts.length);
  },
);

fuzz("it never throws", fc.tuple(fc.oneof(keys, fc.string()), hostile), ([key, text]) => {
  expect(typeof redactSecrets(key, text)).toBe("string");
});
