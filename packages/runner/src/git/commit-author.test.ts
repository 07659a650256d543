/** The author of commits outside the session's repository, with the git of this machine. */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { authorVariables } from "./commit-author.ts";
import { HOOKS_FOLDER } from "./commit-hooks.ts";

function setUp() {
  const home = temporaryFolder();
  const system = join(home, 'the "system"');
  writeFileSync(system, "");
  const variables = authorVariables(join(home, "state folder"), system);
  const env = { PATH: process.env.PATH, HOME: home, ...variables };
  const repository = join(home, "new");
  const git = (...args: string[]) => execFileSync("git", args, { cwd: repository, env, encoding: "utf8" }).trim();
  mkdirSync(repository);
  git("init", "--quiet");
  const commit = () => {
    git("commit", "--quiet", "--allow-empty", "--message", "x");
    return git("log", "-1", "--format=%an <%ae>");
  };
  return { home, system, git, commit };
}

test("a repository that nobody configured takes commits, with Valet as their author", () => {
  expect(setUp().commit()).toBe("Valet <valet@localhost>");
});

test("the author that the system, the user or the repository names counts more", () => {
  const { home, system, git, commit } = setUp();
  writeFileSync(system, "[user]\nname = S\nemail = s@example.com\n");
  expect(commit()).toBe("S <s@example.com>");
  writeFileSync(join(home, ".gitconfig"), "[user]\nname = U\nemail = u@example.com\n");
  expect(commit()).toBe("U <u@example.com>");
  git("config", "user.name", "R");
  expect(commit()).toBe("R <u@example.com>");
});

test("a link in place of the file is replaced, and what it leads to stays", () => {
  const home = temporaryFolder();
  const folder = join(home, HOOKS_FOLDER);
  mkdirSync(folder);
  symlinkSync(join(home, "elsewhere"), join(folder, "gitconfig"));
  authorVariables(home);
  expect(() => execFileSync("test", ["-e", join(home, "elsewhere")])).toThrow();
});
