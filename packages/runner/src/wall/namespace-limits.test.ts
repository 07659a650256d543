import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Bubblewrap } from "./bubblewrap.ts";
import { namespaceLimits } from "./namespace-limits.ts";

const PATH = "/usr/local/bin:/usr/bin:/bin";
const isPossible = spawnSync("bwrap", ["--unshare-user", "--ro-bind", "/", "/", "true"]).status === 0;
/** Makes as many groups of watches as it may, says how many, and keeps them until its input ends. */
const TAKE_WATCHES =
  'my $call = `uname -m` =~ /^x86/ ? 294 : 26; my $n = 0; $n++ while syscall($call, 0) >= 0; $| = 1; print "$n\\n"; <STDIN>';

test("a sandbox may take a quarter of what its user may, and a bounded number of namespaces", () => {
  const machine: Record<string, string> = {
    max_inotify_instances: "128\n",
    max_user_namespaces: "96365\n",
    max_pid_namespaces: "10\n",
    max_mnt_namespaces: "0\n",
  };
  expect(namespaceLimits((name) => machine[name])).toEqual({
    max_inotify_instances: 32,
    max_user_namespaces: 1024,
    max_pid_namespaces: 3,
    max_mnt_namespaces: 0,
  });
});

test.skipIf(!isPossible)("one sandbox cannot take all watches of its user, so another has some", async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-wall-")));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const take = async () => {
    const wall = new Bubblewrap({ own: [folder], readable: [], home: folder, path: PATH });
    onTestFinished(() => wall.close());
    const { command, cwd } = await wall.enter(["perl", "-e", TAKE_WATCHES], folder);
    const child = spawn(command[0], command.slice(1), { cwd, env: { PATH } });
    onTestFinished(() => void child.stdin.end());
    return Number(String((await once(child.stdout, "data"))[0]));
  };
  const { max_inotify_instances: limit } = namespaceLimits();
  expect(await take()).toBeLessThanOrEqual(limit as number);
  expect(await take()).toBeGreaterThan(0);
});
