/** Snapshots of a workspace, where an agent exchanges git's own files while they are copied. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exchange, tryFor } from "../../test/exchange.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { Snapshots } from "./snapshot.ts";

const isLinux = process.platform === "linux";

function makeRepository() {
  const [workspace, folder, outside] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
  execFileSync("git", ["init", "--quiet"], { cwd: workspace });
  writeFileSync(join(workspace, "file"), "text");
  execFileSync("git", ["add", "file"], { cwd: workspace });
  mkdirSync(join(workspace, ".git/info"), { recursive: true });
  writeFileSync(join(workspace, ".git/info/exclude"), "# own\n");
  writeFileSync(join(outside, "secret"), "a secret");
  const snapshots = new Snapshots({ workspace, folder, env: { PATH: process.env.PATH } });
  /** Takes a snapshot. @returns what was copied as the list of ignored files */
  const take = async () => {
    const { objects } = await snapshots.take(AbortSignal.timeout(5_000));
    const exclude = join(snapshots.own(objects ?? ""), "info/exclude");
    const copied = existsSync(exclude) ? readFileSync(exclude, "utf8") : undefined;
    await snapshots.drop(objects);
    return copied;
  };
  return { workspace, outside, take };
}

test.runIf(isLinux)(
  "a list of ignored files that is exchanged for a link shows nothing of the file there",
  async () => {
    const { workspace, outside, take } = makeRepository();
    symlinkSync(join(outside, "secret"), join(workspace, "link"));
    await exchange(join(workspace, ".git/info/exclude"), join(workspace, "link"));
    const seen = new Set<string | undefined>();
    await tryFor(
      4_000,
      async () => seen.add(await take().catch(() => undefined)),
      () => seen.has("a secret"),
    );
    expect(seen).not.toContain("a secret");
    expect(seen).toContain("# own\n");
  },
);

test.runIf(isLinux)("an index that is exchanged for a named pipe is not waited for", async () => {
  const { workspace, take } = makeRepository();
  execFileSync("mkfifo", [join(workspace, "pipe")]);
  await exchange(join(workspace, ".git/index"), join(workspace, "pipe"));
  let ended = 0;
  const take20 = async () => {
    for (; ended < 20; ended++) await take().catch(() => undefined);
  };
  await Promise.race([take20(), new Promise((resolve) => setTimeout(resolve, 20_000))]);
  expect(ended).toBe(20);
});

test("a snapshot has the repository's index and list of ignored files", async () => {
  const { take } = makeRepository();
  expect(await take()).toBe("# own\n");
});
