import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { isPath, repositoryUrl } from "./local-repository.ts";

const LOCAL = "http://127.0.0.1:8787";

function folder(name = "a b#c%d"): string {
  const around = realpathSync(mkdtempSync(join(tmpdir(), "valet-repository-")));
  onTestFinished(() => rmSync(around, { recursive: true }));
  const path = join(around, name);
  mkdirSync(join(path, "sub"), { recursive: true });
  return path;
}

const git = (cwd: string, ...args: string[]) =>
  execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd, stdio: "pipe" });

function repository(): string {
  const path = folder();
  git(path, "init", "--quiet", "--initial-branch=main");
  git(path, "commit", "--quiet", "--allow-empty", "--message=first");
  git(path, "branch", "other");
  return path;
}

const notes: string[] = [];
const urlOf = (text: string, cwd: string, more: object = {}) =>
  repositoryUrl(text, { cwd, valetUrl: LOCAL, report: (line) => notes.push(line), ...more });

test("URLs are no paths, whatever their scheme", () => {
  for (const url of ["https://github.com/a/b", "ssh://git@h/a", "git@github.com:a/b.git", "file:///a", "host:a/b"]) {
    expect([url, isPath(url)]).toEqual([url, false]);
  }
  for (const path of [".", "..", "./a", "../a:b", "/a", "a/b", "~", ".git"])
    expect([path, isPath(path)]).toEqual([path, true]);
});

test("a folder, and one within it, is the URL of its repository, which git can clone", async () => {
  const path = repository();
  const expected = pathToFileURL(path).href;
  expect(await urlOf(".", path)).toBe(expected);
  expect(await urlOf("..", join(path, "sub"))).toBe(expected);
  expect(await urlOf("sub", path, { branch: "other" })).toBe(expected);
  expect(await urlOf(path, "/")).toBe(expected);
  expect(await urlOf("https://github.com/a/b", path, { branch: "x" })).toBe("https://github.com/a/b");
  const clone = folder("clone");
  git(clone, "clone", "--quiet", expected, "here");
  expect(notes).toEqual([]);
  writeFileSync(join(path, "new"), "");
  await urlOf(".", path);
  expect(notes).toEqual([expect.stringContaining("not committed")]);
});

test("a bare repository is one, too", async () => {
  const path = folder("bare.git");
  rmSync(path, { recursive: true });
  git(join(path, ".."), "clone", "--quiet", "--bare", repository(), path);
  expect(await urlOf("bare.git", join(path, ".."))).toBe(pathToFileURL(path).href);
});

test("what cannot be cloned is refused with what to do", async () => {
  const path = repository();
  await expect(urlOf("acme/shop", path)).rejects.toThrow(/there is no folder .*acme\/shop.*or the URL of a repository/);
  await expect(urlOf("", path)).rejects.toThrow("--repo is empty");
  await expect(urlOf(".", folder())).rejects.toThrow("not a git repository");
  writeFileSync(join(path, "file"), "");
  await expect(urlOf("file", path)).rejects.toThrow("is a file");
  await expect(urlOf(".", path, { branch: "nope" })).rejects.toThrow(
    /has no branch nope. It has (?:main, other|other, main)\./,
  );
  await expect(urlOf(".", path, { branch: "--help" })).rejects.toThrow("has no branch --help");
  await expect(urlOf(".", path, { valetUrl: "https://valet.example.com" })).rejects.toThrow("is on another machine");
  const empty = folder();
  git(empty, "init", "--quiet");
  await expect(urlOf(".", empty)).rejects.toThrow("has no commits");
});
