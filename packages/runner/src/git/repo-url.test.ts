import { describe, expect, test } from "vitest";
import { readRepository, secretsOf } from "./repo-url.ts";

describe("the secrets of a repository", () => {
  test.each([
    ["https://user:p%40ss@git.example/a", ["p@ss"]],
    ["https://token@git.example/a", ["token"]],
    ["https://token:x-oauth-basic@git.example/a", ["token"]],
    ["https://git.example/a", []],
    // Accepted by an earlier version.
    ["ssh://user:pass%20word@git.example/a", ["pass word"]],
    ["ssh://deployment@git.example/a", []],
    ["deployment@git.example:a", []],
    [undefined, []],
  ])("%s", (url, secrets) => {
    expect(secretsOf(url, undefined)).toEqual(secrets);
    expect(secretsOf(url, { username: "other", password: "" })).toEqual([...secrets, "other"]);
    expect(secretsOf(url, { username: "other", password: "key" })).toEqual([...secrets, "key"]);
  });
});

describe("the repository that git receives", () => {
  test("has no user and password in its URL, and separate credentials take precedence", () => {
    const url = "https://git.example/a";
    const inUrl = { username: "user", password: "p@ss", origin: "https://git.example" };
    const given = { username: "other", password: "key" };
    expect(readRepository("https://user:p%40ss@git.example/a", undefined, false)).toEqual({ url, credentials: inUrl });
    expect(readRepository("https://user:p%40ss@git.example/a", given, false)?.credentials).toMatchObject(given);
    expect(readRepository("ssh://git:password@git.example/a", given, false)).toEqual({
      url: "ssh://git@git.example/a",
    });
    expect(readRepository("git@git.example:/srv/a", given, false)).toEqual({ url: "git@git.example:/srv/a" });
  });

  test.each(["https://git.example/a?token=b", "ext::sh", "-oProxy@git.example:a", "ssh://-oProxy/a", "https://a b/c"])(
    "is undefined for %s",
    (url) => expect(readRepository(url, undefined, true)).toBeUndefined(),
  );
});
