/** What the Worker says to a git host before it creates a session, said to the real git. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { advertisedRefs, isGitAdvertisement, lsRefsRequest } from "../packages/worker/src/preflight/smart-http.ts";

test("git announces itself, and lists the branches that it has of those asked for", () => {
  const folder = mkdtempSync(join(tmpdir(), "valet-git-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const identity = {
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@b",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@b",
  };
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_PROTOCOL: "version=2",
    ...identity,
  };
  const git = (args: string[], input?: string) => execFileSync("git", args, { cwd: folder, env, input }).toString();
  git(["init", "--quiet", "--initial-branch=main"]);
  git(["commit", "--quiet", "--allow-empty", "--message=first"]);
  git(["branch", "größe/ä"]);
  git(["branch", "main-2"]);
  git(["tag", "v1"]);

  const advertisement = git(["upload-pack", "--http-backend-info-refs", "."]);
  const type = "application/x-git-upload-pack-advertisement; charset=utf-8";
  expect([isGitAdvertisement(type, advertisement), advertisement]).toEqual([
    true,
    expect.stringContaining("version 2"),
  ]);
  const list = (...prefixes: string[]) =>
    advertisedRefs(git(["upload-pack", "--stateless-rpc", "."], lsRefsRequest(prefixes)));
  expect(list("refs/heads/main", "refs/tags/main")).toEqual(["refs/heads/main", "refs/heads/main-2"]);
  expect(list("refs/heads/größe/ä")).toEqual(["refs/heads/größe/ä"]);
  expect(list("refs/heads/v1", "refs/tags/v1")).toEqual(["refs/tags/v1"]);
  expect(list("refs/heads/none")).toEqual([]);
});
