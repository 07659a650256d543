import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { instructionFiles } from "./instruction-files.ts";

function makeWorkspace(...files: string[]): string {
  const workspace = join(temporaryFolder(), "workspace");
  for (const file of files) {
    mkdirSync(dirname(join(workspace, file)), { recursive: true });
    writeFileSync(join(workspace, file), "");
  }
  return workspace;
}

test.each([
  ["AGENTS.md", ["AGENTS.md"]],
  ["./docs/*.md", ["docs/.b.md", "docs/a.md"]],
  ["docs/**/*.md", ["docs/.b.md", "docs/a.md", "docs/deep/er/c.md"]],
  ["{docs/deep/er,linked}/*.md", ["docs/deep/er/c.md"]],
  ["linked/*.md", ["linked/c.md"]],
  ["d?cs/deep/*/c.md", ["docs/deep/er/c.md"]],
  ["link.md", ["link.md"]],
  ["docs", []],
  ["none/*", []],
])("%s", (pattern, expected) => {
  const workspace = makeWorkspace("AGENTS.md", "docs/a.md", "docs/.b.md", "docs/c.txt", "docs/deep/er/c.md");
  symlinkSync("docs/deep/er", join(workspace, "linked"));
  symlinkSync("docs/a.md", join(workspace, "link.md"));
  expect(instructionFiles(workspace, pattern)).toEqual(expected);
});

test.each(["../*", "*/../../*", "out/*", "out/**", "o*/*", "**", "{out,in}/*", "out/in/*"])(
  "%s names no file outside the workspace",
  (pattern) => {
    const workspace = makeWorkspace("in/file");
    mkdirSync(join(workspace, "../in"));
    for (const name of ["secret", "in/secret"]) writeFileSync(join(workspace, "..", name), "");
    symlinkSync("..", join(workspace, "out"));
    expect(instructionFiles(workspace, pattern).join()).not.toContain("secret");
  },
);
