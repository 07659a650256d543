import { describe, expect, test } from "vitest";
import { redactAlso, redactSecrets } from "./redact.ts";

/** A key that says nothing of its value. */
const TEXT = "exception.message";

describe("a URL loses", () => {
  test.each([
    ["its query", "https://host.example/a/b?key=1&q=2", "https://host.example/a/b"],
    ["its fragment", "https://host.example/a#part", "https://host.example/a"],
    ["both", "https://host.example?x#y", "https://host.example"],
    ["user and password", "https://user:tok@host.example:8443/x.git", "https://host.example:8443/x.git"],
    ["a token for a user", "https://ghp_abc@host.example/x.git", "https://host.example/x.git"],
    ["a password without user", "redis://:pw@cache:6379/0", "redis://cache:6379/0"],
    ["a password with @", "https://user:p@ss@host.example/x", "https://host.example/x"],
    ["all, for a password with /", "https://user:pa/ss@host.example/x", "https://"],
    ["all, for a password with ?", "https://user:pa?ss@host.example/x?e=a@b&q", "https://"],
    ["a user of a domain", "https://DOMAIN\\user:pw@host.example/x", "https://host.example/x"],
    ["the user of ssh", "ssh://git@host.example/o/r.git", "ssh://host.example/o/r.git"],
    ["what an outer scheme hides", "jdbc:postgresql://u:pw@db/app?password=x", "jdbc:postgresql://db/app"],
    ["those of a URL in its path", "https://proxy/https://u:pw@inner/p?q", "https://proxy/https://inner/p"],
    ["those of a URL in its query", "https://host/r?next=https://u:pw@inner/p", "https://host/r"],
  ])("%s", (_what, url, expected) => {
    for (const key of [TEXT, "url.full", "http.url", "vcs.repository.url.full"]) {
      expect(redactSecrets(key, url)).toBe(expected);
    }
  });

  test.each([
    ["https://hooks.slack.com/services/T012/B345/s3cret", "https://hooks.slack.com/services/T012/B345/REDACTED"],
    ["https://hooks.slack.com/workflows/T01/A02/345/s3cret", "https://hooks.slack.com/workflows/T01/A02/345/REDACTED"],
    ["https://hooks.slack.com/triggers/T01/234/s3cret", "https://hooks.slack.com/triggers/T01/234/REDACTED"],
    ["https://discord.com/api/webhooks/123/s3-c_ret?wait=1", "https://discord.com/api/webhooks/123/REDACTED"],
    ["https://discord.com/api/webhooks/1/s3cret/messages/2", "https://discord.com/api/webhooks/1/REDACTED/messages/2"],
    ["https://api.telegram.org/bot123:s3-c_ret/getMe", "https://api.telegram.org/bot123:REDACTED/getMe"],
    ["https://api.telegram.org/file/bot1%3As3cret/a.jpg", "https://api.telegram.org/file/bot1%3AREDACTED/a.jpg"],
    ["https://git.example/ghp_0123456789abcdefghij/r.git", "https://git.example/REDACTED/r.git"],
    ["https://git.example/a/github_pat_11ABCDEFG0abcdefghij_x/r", "https://git.example/a/REDACTED/r"],
    ["https://git.example/glpat-abcdefghijklmnopqrst/r", "https://git.example/REDACTED/r"],
    ["https://proxy.example/x%2Fghp_0123456789abcdefghij/r", "https://proxy.example/x%2FREDACTED/r"],
    ["https://h.example/eyJhbGciOiJI.eyJzdWIiOiIx.c2ln/r", "https://h.example/REDACTED/r"],
    ["https://h.example/r;token=hunter2;v=1/x", "https://h.example/r;token=REDACTED;v=1/x"],
    ["https://h.example/access_token=hunter2/x", "https://h.example/access_token=REDACTED/x"],
    ["https://h.example/r;token=://b.example/x", "https://h.example/r;token=://b.example/x"],
  ])("the secret in the path of %s", (url, expected) => {
    expect(redactSecrets("url.full", url)).toBe(expected);
    expect(redactSecrets(TEXT, `POST ${url} failed`)).toBe(`POST ${expected} failed`);
    const path = (text: string) => text.slice(text.indexOf("/", "https://".length));
    expect(redactSecrets("url.path", path(url))).toBe(path(expected));
  });

  test.each([
    "https://host.example:8080/a/b;c=1/@scope/pkg@1.2.3",
    "http://[::1]:4318/v1/traces",
    "http://[::1]:4318/@scope/pkg",
    "http://localhost:/@scope",
    "file:///repo/node_modules/.pnpm/@scope+pkg@1.0.0/index.js:10:5",
    "https://api.example/services/list/all/items",
    "https://api.example/webhooks/mine/events",
    "https://api.example/ghp_short/oauth/token/refresh",
    "https://api.example/sessions/ses_0123456789abcdefghijklmnop/traces/0af7651916cd43dd8448eb211c80319c",
    "https://api.example/a;version=2/tokenizer=x",
  ])("nothing else: %s", (url) => {
    expect(redactSecrets("url.full", url)).toBe(url);
    expect(redactSecrets(TEXT, `at ${url} (native)`)).toBe(`at ${url} (native)`);
  });
});

describe("in a text", () => {
  test.each([
    [
      "fatal: could not read from https://user:tok@host/x.git?y=z: denied",
      "fatal: could not read from https://host/x.git denied",
    ],
    [
      "fatal: unable to access 'https://user:tok@host/x.git/': The requested URL returned error: 403",
      "fatal: unable to access 'https://host/x.git/': The requested URL returned error: 403",
    ],
    ["GET http://a/x?k=1 then http://b/y#z, done", "GET http://a/x then http://b/y done"],
    ["https://u:p@a/x,https://v:q@b/y", "https://a/x,https://b/y"],
    [
      "at fn@file:///app/main.js:1:2\nat file:///app/b.js:3:4",
      "at fn@file:///app/main.js:1:2\nat file:///app/b.js:3:4",
    ],
  ])("each URL: %s", (text, expected) => {
    expect(redactSecrets(TEXT, text)).toBe(expected);
  });

  test.each([
    "npm error notarget No matching version for pkg@^2.0.0?",
    "git@github.com: Permission denied (publickey).",
    "image:tag@sha256:0123",
    "bob@mail.example wrote: what? #1",
    "C:/Users/bob@corp/file?x#y",
    "",
  ])("without a URL nothing changes: %s", (text) => {
    expect(redactSecrets(TEXT, text)).toBe(text);
  });

  test("JSON stays JSON", () => {
    const secret = {
      url: "https://u:p@h/x?q=canary",
      quote: 'see "https://h/y?canary" and "https://h/z#canary\\"',
      n: 1,
    };
    const clean = { url: "https://h/x", quote: 'see "https://h/y" and "https://h/z\\"', n: 1 };
    expect(JSON.parse(redactSecrets(TEXT, JSON.stringify(secret)))).toEqual(clean);
    const nested = JSON.parse(redactSecrets(TEXT, JSON.stringify({ text: JSON.stringify(secret) })));
    expect(JSON.parse(nested.text)).toEqual(clean);
  });
});

describe("the key states", () => {
  test.each([
    ["url.query", "q=canary", ""],
    ["url.fragment", "canary", ""],
    ["url.path", "/search?q=canary", "/search"],
    ["http.target", "/search?q=canary#x", "/search"],
    ["http.response.header.location", "/callback?code=canary", "/callback"],
    ["http.request.header.referer", "https://u:canary@h/p?x", "https://h/p"],
    ["url.full", "https://host/search?q=two words and a canary", "https://host/search"],
    ["url.full", 'https://user:a "canary@host/', "https://host/"],
    ["valet.repo.url", "user:canary@host.example:org/repo.git", "host.example:org/repo.git"],
    ["repo_url", "git@host.example:org/repo.git", "host.example:org/repo.git"],
    ["url.scheme", "https", "https"],
  ])("that %s is a URL or a part of one", (key, value, expected) => {
    expect(redactSecrets(key, value)).toBe(expected);
  });

  test.each([
    "http.request.header.authorization",
    "http.request.header.proxy-authorization",
    "http.request.header.cookie",
    "http.response.header.set-cookie",
    "http.request.header.x-api-key",
    "http.request.header.X-Auth-Token",
    "rpc.request.metadata.authorization",
    "authorization",
    "Cookie",
    "x-api-key",
    "api_key",
    "apiKey",
    "db.password",
    "client_secret",
    "aws.credentials",
    "private-key",
  ])("that the value of %s is a secret", (key) => {
    expect(redactSecrets(key, "canary")).toBe("REDACTED");
  });

  test.each(["gen_ai.token.type", "http.request.header.content-type", "valet.session.id", "curl.version", "key", ""])(
    "nothing about %j",
    (key) => {
      expect(redactSecrets(key, "a:b@c?d#e")).toBe("a:b@c?d#e");
    },
  );

  test("however many keys there are", () => {
    for (let i = 0; i < 3000; i++) {
      expect(redactSecrets(`header.${i}.cookie`, "canary")).toBe("REDACTED");
      expect(redactSecrets(`header.${i}.name`, "value")).toBe("value");
    }
  });
});

describe("an additional rule", () => {
  const more = redactAlso((key, value) => (key === "card" ? "****" : value.replace("MARK", "https://u:canary@h/")));

  test("redacts more", () => {
    expect(more("card", "4111")).toBe("****");
  });

  test("never redacts less", () => {
    expect(more(TEXT, "to MARK")).toBe("to https://h/");
    expect(more("authorization", "canary")).toBe("REDACTED");
  });
});

describe("one scp-like or broken URL after another", () => {
  test("keeps the characters that separate them", () => {
    const once = redactSecrets("repo_url", "h:80 /services/T1/B2/:///u:p@");
    expect(redactSecrets("repo_url", once)).toBe(once);
  });
});

// Each of these takes hours where a pattern goes back to try again.
test.each([
  "://",
  ":",
  "@",
  "a",
  "1",
  "\\",
  "?",
  "/",
  "x:y://",
  "://u:p@",
  "http://a:b/",
  "://\\",
  "/ghp_",
  "/access_token=",
  ";token=",
  "a_",
  "/services/T",
  "/services/T1/2/",
  "/bot1",
  "/webhooks/1",
  "token",
  "url.",
])("a megabyte of %j takes linear time", (part) => {
  const long = part.repeat(Math.ceil(1_000_000 / part.length));
  for (const text of [long, `https://user:p${long}`, `https://h:1${long}x`]) {
    for (const key of [TEXT, "url.full"]) {
      expect(redactSecrets(key, `${text}?canary`).endsWith("canary")).toBe(!text.includes("://") && key === TEXT);
    }
  }
  expect(redactSecrets(long, "canary")).toBe(part === "token" ? "REDACTED" : "canary");
});
