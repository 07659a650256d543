/** What the runner reads of a repository's configuration, where an agent exchanges its files for links to files of the machine. */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exchange, tryFor } from "../../test/exchange.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { readRepositoryConfig } from "./repository-config.ts";

function makeRepository() {
  const [workspace, outside] = [temporaryFolder(), temporaryFolder()];
  mkdirSync(join(workspace, ".opencode/command/deep"), { recursive: true });
  const write = (name: string, content: string) => writeFileSync(join(workspace, name), content);
  write(".opencode/command/greet.md", "Say hello.");
  write(".opencode/command/deep/bow.md", "Bow.");
  mkdirSync(join(outside, "agents"));
  for (const name of ["secret.md", "agents/secret.md"]) writeFileSync(join(outside, name), "a secret");
  return {
    workspace,
    outside,
    write,
    read: (isTrusted = false) => readRepositoryConfig({ workspace, isTrusted, secretVariables: [], overridden: [] }),
  };
}

test("links within the repository count, others do not, and no pipe is waited for", () => {
  const { workspace, outside, write, read } = makeRepository();
  const link = (target: string, name: string) => symlinkSync(target, join(workspace, name));
  write("NOTES.md", "Notes.");
  link("NOTES.md", "AGENTS.md");
  link("command", ".opencode/commands");
  link("../../../NOTES.md", ".opencode/command/deep/linked.md");
  link(join(outside, "agents"), ".opencode/agents");
  link(join(outside, "secret.md"), "opencode.jsonc");
  execFileSync("mkfifo", [join(workspace, ".opencode/command/pipe.md"), join(workspace, ".opencode/opencode.json")]);
  const { settings, files, unreadable } = read();
  expect(settings.instructions).toEqual([join(workspace, "AGENTS.md")]);
  expect([...files.keys()].sort()).toEqual([
    "command/deep/bow.md",
    "command/greet.md",
    "commands/deep/bow.md",
    "commands/greet.md",
  ]);
  expect(unreadable).toEqual(["opencode.jsonc", ".opencode/opencode.json"]);
});

test.runIf(process.platform === "linux")(
  "a file that is exchanged for a link shows nothing of the file there",
  async () => {
    const { workspace, outside, read } = makeRepository();
    symlinkSync(join(outside, "secret.md"), join(workspace, "link"));
    await exchange(join(workspace, ".opencode/command/greet.md"), join(workspace, "link"));
    const seen = new Set<string>();
    await tryFor(
      4_000,
      () => seen.add([...read().files.values()].join()),
      () => [...seen].join().includes("a secret"),
    );
    expect([...seen].join()).not.toContain("a secret");
    expect([...seen].join()).toContain("Say hello.");
  },
);

test("a pattern of a trusted repository names no file outside", () => {
  const { workspace, outside, write, read } = makeRepository();
  symlinkSync(outside, join(workspace, "out"));
  mkdirSync(join(workspace, "docs"));
  write("docs/a.md", "Instructions.");
  write("opencode.json", JSON.stringify({ instructions: ["docs/*.md", "../*/*.md", "out/*.md", "out/**"] }));
  expect(read(true).settings.instructions).toEqual([join(workspace, "docs/a.md")]);
});
