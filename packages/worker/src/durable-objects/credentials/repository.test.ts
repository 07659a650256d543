import { expect, test } from "vitest";
import { splitCredentials } from "./repository.ts";

test.each([
  ["https://git.example/a.git", "https://git.example/a.git", undefined],
  ["https://user:p%40ss@git.example/a.git", "https://git.example/a.git", { username: "user", password: "p@ss" }],
  ["https://token@git.example/a.git", "https://git.example/a.git", { username: "token", password: "" }],
  ["https://user:%zz@git.example/a.git", "https://git.example/a.git", { username: "user", password: "%zz" }],
  ["ssh://git@git.example/a.git", "ssh://git@git.example/a.git", undefined],
  ["git@git.example:a.git", "git@git.example:a.git", undefined],
  ["file:///srv/a.git", "file:///srv/a.git", undefined],
])("%s", (given, repoUrl, credentials) => {
  expect(splitCredentials(given)).toEqual(credentials === undefined ? { repoUrl } : { repoUrl, credentials });
});
