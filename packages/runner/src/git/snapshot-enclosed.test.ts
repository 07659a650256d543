/** Snapshots of a workspace whose `.git` names another repository of the machine. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { commitAll } from "../../test/real-agent.ts";
import { enclosure } from "../wall/enclosure.ts";
import { Snapshots } from "./snapshot.ts";

const isPossible = spawnSync("bwrap", ["--unshare-user", "--ro-bind", "/", "/", "true"]).status === 0;
const { PATH = ["/usr/bin", "/bin"].join(delimiter) } = process.env;
const soon = () => AbortSignal.timeout(20_000);

function makeRepositories() {
  const [workspace, folder, other] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
  for (const [place, text] of [
    [workspace, "own"],
    [other, "another's"],
  ] as const) {
    writeFileSync(join(place, "file"), text);
    commitAll(place);
  }
  const git = (...args: string[]) => execFileSync("git", args, { cwd: other }).toString().trim();
  const commit = git("rev-parse", "HEAD");
  mkdirSync(join(workspace, ".git/objects/info"), { recursive: true });
  writeFileSync(join(workspace, ".git/objects/info/alternates"), `${join(other, ".git/objects")}\n`);
  symlinkSync(join(other, ".git", git("symbolic-ref", "HEAD")), join(workspace, ".git/refs/heads/another"));
  const snapshots = (isEnclosed: boolean) =>
    new Snapshots({
      workspace,
      folder,
      env: { PATH },
      enclosure: isEnclosed ? enclosure([workspace], folder) : undefined,
    });
  return { workspace, commit, snapshots };
}

test.skipIf(!isPossible)(
  "behind the wall git finds nothing of a repository that the session's own one names",
  async () => {
    const { commit, snapshots } = makeRepositories();
    // Without the wall it does: the test would show nothing otherwise.
    expect(String(await snapshots(false).log(["--branches"], soon()))).toContain(commit);
    expect(String(await snapshots(true).log(["--branches"], soon()))).not.toContain(commit);
    expect(await snapshots(true).log([commit], soon())).toBeUndefined();
  },
);

test.skipIf(!isPossible)("behind the wall snapshots are taken and compared as without it", async () => {
  const { workspace, snapshots } = makeRepositories();
  const [open, enclosed] = [snapshots(false), snapshots(true)];
  const before = await enclosed.take(soon());
  writeFileSync(join(workspace, "new file"), "new\n");
  const [after, same] = [await enclosed.take(soon()), await open.take(soon())];
  expect(after).toMatchObject({ tree: same.tree, head: same.head, branch: same.branch });
  const { stdout } = await enclosed.read(
    ["diff-tree", "-r", "-p", before.tree, after.tree],
    [before, after],
    10_000,
    soon(),
  );
  expect(String(stdout)).toContain("+new");
  expect(execFileSync("git", ["status", "--porcelain"], { cwd: workspace }).toString()).toBe('?? "new file"\n');
});
