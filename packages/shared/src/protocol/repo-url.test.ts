import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { repoUrlProblem, shownRepoUrl } from "./repo-url.ts";

describe("a password is never shown", () => {
  test.each([
    "ssh://user:canary@git.example/org/repo",
    "ssh://:canary@git.example/org/repo",
    "SSH://user:canary@git.example:2222/org/repo",
    "ssh://user%3Acanary@git.example/org/repo",
    "ssh://user%253Acanary@git.example/org/repo",
    "ssh://user%2Fcanary@git.example/org/repo",
    "ssh://user;canary@git.example/org/repo",
    "user:canary@git.example:org/repo",
    "git@git.example:https%3A%2F%2Fuser%3Acanary@other/repo",
    "git@git.example:org%3Acanary@other/repo",
    "bob@corp.example:canary@git.example/repo",
    "https://proxy.example/https://user:canary@git.example/repo",
    "https://proxy.example/https%3A%2F%2Fuser%3Acanary%40git.example/repo",
    "https://proxy.example/https%253A%252F%252Fuser%253Acanary%2540git.example/repo",
    "https://proxy.example/user:canary@git.example/repo",
    "https://proxy.example/%zz/user%3Acanary%40git.example/repo",
    "ssh://git@proxy.example/ssh://user:canary@git.example/repo",
    "file:///srv/https://user:canary@git.example/repo",
    "https://git.example/org/repo?token=canary",
    "https://git.example/org/repo#canary",
    "git+ssh://user:canary@git.example/org/repo",
    "ext::sh -c canary",
  ])("%s is refused", (url) => {
    const problem = repoUrlProblem(url);
    expect(problem).toBeDefined();
    expect(problem).not.toContain("canary");
    expect(shownRepoUrl(url)).not.toContain("canary");
  });

  test.each([
    "https://user:canary@git.example/org/repo",
    "https://us%65r:can%61ry@git.example/org/repo",
    "https:user:canary@git.example/org/repo",
    "https:/user:canary@git.example/org/repo",
    "https:///user:canary@git.example/org/repo",
    "HTTPS://user:canary@git.example/org/repo",
    "https://canary@git.example/org/repo",
    "https://user:p@ss:canary@git.example/org/repo",
  ])("%s is accepted, and shown without it", (url) => {
    expect(repoUrlProblem(url)).toBeUndefined();
    expect(shownRepoUrl(url)).toBe("https://git.example/org/repo");
  });
});

describe("a part of the path that looks like a token is not shown", () => {
  const secret = "1f0e9c7b5a3d2e4f6a8b";
  test.each([
    ["https://git.example/ghp_0123456789abcdefghij/repo.git", "https://git.example/REDACTED/repo.git"],
    ["https://git.example/glpat-abcdefghijklmnopqrst/repo.git", "https://git.example/REDACTED/repo.git"],
    [`https://git.example/${secret}/repo.git`, "https://git.example/REDACTED/repo.git"],
    [`https://git.example/org/${secret}.git`, "https://git.example/org/REDACTED.git"],
    ["https://git.example/token/hunter2/repo.git", "https://git.example/token/REDACTED/repo.git"],
    ["https://git.example/repo;token=hunter2", "https://git.example/REDACTED"],
    ["https://git.example/access_token:hunter2/repo", "https://git.example/REDACTED/repo"],
    ["https://git.example/%67hp_0123456789abcdefghij/repo", "https://git.example/REDACTED/repo"],
    [`ssh://git@git.example/${secret}/repo.git`, "ssh://git@git.example/REDACTED/repo.git"],
    [`git@git.example:${secret}/repo.git`, "git@git.example:REDACTED/repo.git"],
  ])("%s", (url, shown) => {
    expect(repoUrlProblem(url)).toBeUndefined();
    expect(shownRepoUrl(url)).toBe(shown);
  });

  test.each([
    "https://github.com/org/repo",
    "https://github.com/anthropics/claude-code-action.git",
    "https://git.example:8443/group/sub-group/my-very-long-repository-name-2024.git",
    "https://dev.azure.example/org/My%20Project/_git/repo",
    "ssh://git@git.example:2222/~me/repo",
    "deploy-1@10.0.0.1:repo",
    "https://github.com/org/tokenizer",
    "https://github.com/org/secret-santa/",
    "file:///srv/git/repo.git",
    "git@git.example:/srv/git/repo.git",
    "https://GitHub.com/Org/Repo",
  ])("%s is shown unchanged", (url) => {
    expect(repoUrlProblem(url)).toBeUndefined();
    expect(shownRepoUrl(url)).toBe(url);
  });
});

test("every accepted URL is shown without its password, idempotently", () => {
  const part = fc.string({ unit: fc.constantFrom(..."ab:@/%3A40;=-._~") });
  const form = fc.constantFrom("https://", "ssh://", "https:", "https:/", "file:///", "");
  fc.assert(
    fc.property(form, part, part, ([...scheme], before, after) => {
      const url = `${scheme.join("")}${before}:Canary@git.example/${after}/r`;
      const shown = shownRepoUrl(url);
      if (repoUrlProblem(url) === undefined) expect(shown).not.toContain("Canary");
      if (repoUrlProblem(shown) === undefined) expect(shownRepoUrl(shown)).toBe(shown);
    }),
    { numRuns: 2000 },
  );
});
