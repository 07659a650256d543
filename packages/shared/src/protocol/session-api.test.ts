import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CreateSession, isFileUrl, RepoUrl, SendMessage } from "./session-api.ts";

describe("a repository's URL", () => {
  test.each([
    "https://github.com/org/repo",
    "https://github.com/org/repo.git",
    "https://user:token@git.example:8443/a/b.git",
    "ssh://git@github.com/org/repo.git",
    "ssh://git@git.example:2222/~me/repo",
    "git@github.com:org/repo.git",
    "deploy-1@10.0.0.1:repo",
    "file:///srv/git/repo.git",
  ])("%s is one", (url) => {
    expect(RepoUrl.safeParse(url).success).toBe(true);
  });

  test.each([
    "",
    "repo",
    "/srv/git/repo",
    "../repo",
    "http://github.com/org/repo",
    "git://github.com/org/repo",
    "ftp://github.com/org/repo",
    "javascript:alert(1)",
    "ext::sh -c id",
    "https://",
    "https://github.com",
    "https://github.com/org/repo?token=a",
    "https://github.com/org/repo#a",
    "https://github.com/a b",
    "https://github.com/a\nb",
    "https://github.com\\org",
    "ssh://-oProxyCommand=id/x",
    "ssh://%2doProxyCommand=id/x",
    "ssh://-a@host/x",
    "-u@host:repo",
    "git@-host:repo",
    "git@host:-repo",
    "git@host:",
    "file://server/share",
    "file:///",
    "file://",
    `https://github.com/${"a".repeat(2000)}`,
  ])("%j is none", (url) => {
    expect(RepoUrl.safeParse(url).success).toBe(false);
  });

  test("whatever it is, reading it throws nothing, and what passes no command takes for an option", () => {
    const url = fc.oneof(
      fc.string(),
      fc.webUrl(),
      fc.tuple(fc.constantFrom("https://", "ssh://", "file:///", "git@"), fc.string()).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(url, (text) => {
        if (RepoUrl.safeParse(text).success) expect(text).toMatch(/^(?!-)[^\s]+$/);
        isFileUrl(text);
      }),
      { numRuns: 300 },
    );
  });

  test("of this machine is known as such, however it is written", () => {
    for (const url of ["file:///a", "FILE:///a", "file:/a"]) expect(isFileUrl(url)).toBe(true);
    for (const url of ["https://host/file:", "git@file:repo", "ssh://file/x"]) expect(isFileUrl(url)).toBe(false);
  });
});

describe("a branch or ref", () => {
  const isOk = (branch: string) => CreateSession.safeParse({ branch }).success;

  test.each(["main", "feature/x", "v1.2.3", "a-b_c", "release@2", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"])(
    "may be %s",
    (name) => {
      expect(isOk(name)).toBe(true);
    },
  );

  test.each([
    "",
    "-a",
    "--upload-pack=id",
    "/a",
    "a/",
    "a.",
    ".a",
    "a/.b",
    "a..b",
    "a//b",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
  ])("may not be %j", (name) => {
    expect(isOk(name)).toBe(false);
  });

  test.each(["a*", "a[", "a\\b", "a@{1}", "a.lock", "a.lock/b", "a\u0007", "a\n", "x".repeat(256)])(
    "may not be %j either",
    (name) => {
      expect(isOk(name)).toBe(false);
    },
  );
});

test("a field that is not known is refused, however deep", () => {
  const attachment = { filename: "a", mediaType: "text/plain", url: "data:,a" };
  expect(SendMessage.safeParse({ content: "x", attachments: [attachment] }).success).toBe(true);
  for (const input of [
    { content: "x", contnet: "y" },
    { content: "x", attachments: [{ ...attachment, size: 1 }] },
  ]) {
    expect(SendMessage.safeParse(input).error?.issues).toMatchObject([{ code: "unrecognized_keys" }]);
  }
});

test("an attachment is data, not an address to be fetched", () => {
  const attachments = [{ filename: "a", mediaType: "text/plain", url: "https://internal.example/secret" }];
  expect(SendMessage.safeParse({ content: "x", attachments }).success).toBe(false);
});
