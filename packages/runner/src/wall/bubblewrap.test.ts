/** Tests the wall with the real bubblewrap. Where the machine does not let it make namespaces, they are skipped, and say so. */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Bubblewrap } from "./bubblewrap.ts";
import { NO_WALL, WallError } from "./wall.ts";

const PATH = "/usr/local/bin:/usr/bin:/bin";
/** Whether this machine lets bubblewrap work at all. */
const isPossible = spawnSync("bwrap", ["--unshare-user", "--ro-bind", "/", "/", "true"]).status === 0;

function setUp() {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-wall-")));
  for (const name of ["workspace", "home", "hidden", "configuration"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "hidden", "secret"), "a secret");
  const workspace = join(folder, "workspace");
  const home = join(folder, "home");
  const configuration = join(folder, "configuration");
  const wall = new Bubblewrap({ own: [workspace, home], readable: [], home, configuration, path: PATH });
  onTestFinished(async () => {
    await wall.close();
    rmSync(folder, { recursive: true });
  });
  const sh = async (script: string, mayConfigure = false): Promise<SpawnSyncReturns<string>> => {
    const { command, cwd } = await wall.enter(["/bin/sh", "-c", script], workspace, { mayConfigure });
    // In a process group of its own, as the runner starts programs.
    return spawnSync("setsid", ["--wait", ...command], {
      cwd,
      encoding: "utf8",
      env: { PATH, HOME: home, MARK: "here" },
    });
  };
  return { folder, workspace, home, configuration, wall, sh };
}

describe.skipIf(!isPossible)("a wall of bubblewrap (skipped where the machine allows no namespaces)", () => {
  test("a program works in its folder, as an ordinary user, with its environment", async () => {
    const { workspace, home, sh } = setUp();
    const { stdout, stderr, status } = await sh('pwd; id -u; whoami; echo "$HOME $MARK"; echo text >file; exit 7');
    expect({ stdout, stderr, status }).toEqual({
      stdout: `${workspace}\n1000\nagent\n${home} here\n`,
      stderr: "",
      status: 7,
    });
    expect(readFileSync(join(workspace, "file"), "utf8")).toBe("text\n");
  });

  test("of the machine there are programs, and neither homes, nor other folders, nor users", async () => {
    const { folder, sh } = setUp();
    const script = `ls /root /home /var /mnt ${folder}/hidden /etc/shadow; cat /etc/passwd; touch /usr/x /x /etc/x; git --version`;
    const { stdout, stderr } = await sh(script);
    expect(stdout).toMatch(/^root:.*\nagent:.*\ngit version /);
    expect(stderr.match(/cannot access/g)).toHaveLength(6);
    expect(stderr.match(/Read-only file system/g)).toHaveLength(3);
  });

  test("no process outside is visible or can be signalled, and the runner's environment and memory cannot be read", async () => {
    const { sh } = setUp();
    const { stdout } = await sh(
      `kill -0 ${process.pid} 2>/dev/null && echo reached; kill -9 1; cat /proc/1/environ /proc/1/mem 2>/dev/null; ls /proc | grep -c '^[0-9]'`,
    );
    // The wall's first process and its `cat`; nsenter's bwrap, the shell, ls and grep.
    expect(Number(stdout)).toBeLessThanOrEqual(7);
  });

  test("programs have no capability and cannot gain privileges, but may have a terminal", async () => {
    const { sh } = setUp();
    const { stdout } = await sh("grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; ls /dev; ls -l /dev/ptmx");
    expect(stdout).toMatch(/CapEff:\t0+\nCapBnd:\t0+\nNoNewPrivs:\t1\n/);
    expect(stdout).toContain("ptmx");
    expect(stdout).not.toMatch(/^(?:sda|vda|mem|kmsg)$/m);
  });

  test("the machine's settings cannot be changed, not even where the runner is root, nor its memory read", async () => {
    const { sh } = setUp();
    const { stdout, stderr } = await sh(
      // What is there already, so that nothing happens if it can be written.
      'for f in kernel/core_pattern vm/overcommit_memory; do p=$(cat /proc/sys/$f); echo "$p" >/proc/sys/$f && echo written; done; ' +
        "wc -c </proc/kcore; echo >/proc/sysrq-trigger; unshare --user --map-root-user --mount sh -c 'mount -o remount,rw /proc/sys || umount /proc/sys'",
    );
    expect(stdout).not.toContain("written");
    expect(
      stderr.match(/cannot create|Permission denied|Read-only|permission denied|not permitted|must be superuser/gi)
        ?.length,
    ).toBeGreaterThanOrEqual(4);
  });

  test("no program gets a control group namespace, in which it could mount the machine's groups; others it gets", async () => {
    const { sh } = setUp();
    const machines = readFileSync("/proc/sys/user/max_cgroup_namespaces", "utf8");
    const mount = "mkdir /tmp/groups; mount -t cgroup2 none /tmp/groups || mount -t cgroup -o memory none /tmp/groups";
    const { stdout, stderr } = await sh(
      [
        `unshare --user --map-root-user --cgroup --mount sh -c '${mount}; echo mounted'`,
        `unshare --user --map-root-user --mount sh -c '${mount} || echo refused'`,
        "echo 10 >/proc/sys/user/max_cgroup_namespaces && echo raised",
        // A namespace of its own may have any limit, and those around it hold all the same.
        "unshare --user --map-root-user sh -c 'echo 10 >/proc/sys/user/max_cgroup_namespaces; unshare --cgroup true && echo made'",
      ].join("; "),
    );
    expect(stdout).toBe("refused\n");
    expect(stderr.match(/No space left on device/g)?.length).toBeGreaterThanOrEqual(2);
    expect(readFileSync("/proc/sys/user/max_cgroup_namespaces", "utf8")).toBe(machines);
  });

  test("a program has no keyrings of the kernel, which namespaces do not separate", async () => {
    const { sh } = setUp();
    const { stdout } = await sh(
      // keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), and the same with KEY_SPEC_USER_KEYRING.
      `perl -e 'my $call = \`uname -m\` =~ /^x86/ ? 250 : 219; for (-3, -4) { print syscall($call, 0, $_, 0), " ", $! + 0, "\n" }'`,
    );
    expect(stdout).toBe("-1 38\n".repeat(2));
  });

  test("a program cannot read the environment or the memory of another, which may hold keys", async () => {
    const { sh } = setUp();
    await sh("(sleep 300 & echo $! >pid) >/dev/null 2>&1");
    const { stdout, stderr } = await sh("cat /proc/$(cat pid)/environ; head -c 1 /proc/$(cat pid)/mem");
    expect(stdout).toBe("");
    expect(stderr.match(/Permission denied/g)).toHaveLength(2);
  });

  test("the agent's configuration, which the runner writes, can be read, and changed only by who may", async () => {
    const { configuration, sh } = setUp();
    const change = `ln -s / ${configuration}/link; cd ${configuration} && ls`;
    expect((await sh(change)).stdout).toBe("");
    expect((await sh(`unshare -Urm umount ${configuration}; ${change}`)).stdout).toBe("");
    expect((await sh(change, true)).stdout).toBe("link\n");
  });

  test("what one program leaves running is there for the next, and ends with the wall", async () => {
    const { wall, workspace, sh } = setUp();
    // No other test's program has these arguments.
    const sleeper = `sleep 300 ${process.pid}`;
    await sh(`(${sleeper} & echo $! >pid) >/dev/null 2>&1`);
    expect((await sh("kill -0 $(cat pid) && echo alive")).stdout).toBe("alive\n");
    const listed = () => spawnSync("pgrep", ["-f", `^${sleeper}$`], { encoding: "utf8" }).stdout;
    // The shell that starts it may not have become it yet.
    await expect.poll(listed).not.toBe("");
    await wall.close();
    expect(listed()).toBe("");
    await expect(wall.enter(["true"], workspace)).rejects.toThrow(WallError);
  });

  test("a signal that ends a program is known by its exit code, and a polite one reaches it", async () => {
    const { wall, sh } = setUp();
    const { status } = await sh("kill -KILL $$");
    expect(wall.signalOf(status as number)).toBe("SIGKILL");
    expect(wall.signalOf(1)).toBeUndefined();
    const { stdout } = await sh("trap 'echo asked; exit 0' TERM; kill -TERM 0; sleep 5");
    expect(stdout).toBe("asked\n");
  });

  test("after all processes behind a wall were ended, the next program starts at once, and none of them is left", async () => {
    const { wall, workspace, sh } = setUp();
    const sleeper = `sleep 301 ${process.pid}`;
    for (let round = 0; round < 10; round++) {
      await sh(`for i in 1 2 3 4 5 6 7 8; do ${sleeper} >/dev/null 2>&1 & done`);
      void wall.endProcesses();
      const { command, cwd } = await wall.enter(["/bin/sh", "-c", "echo again"], workspace);
      expect(spawnSync("pgrep", ["-f", `^${sleeper}$`], { encoding: "utf8" }).stdout).toBe("");
      expect(spawnSync(command[0], command.slice(1), { cwd, encoding: "utf8" })).toMatchObject({ stdout: "again\n" });
    }
  });

  test("a wall that has fallen is built again", async () => {
    const { workspace, wall, sh } = setUp();
    const [pid] =
      /\d+/.exec((await wall.enter(["true"], workspace)).command.join(" ").split("--target=")[1] as string) ?? [];
    process.kill(Number(pid), "SIGKILL");
    await expect.poll(async () => (await sh("echo again")).stdout).toBe("again\n");
  });
});

/** Stands for bubblewrap before 0.7.0. */
const OLDER = `#!/bin/sh
for each; do [ "$each" = --size ] && { echo "bwrap: Unknown option --size" >&2; exit 1; }; done
exec /usr/bin/bwrap "$@"
`;

test.skipIf(!isPossible)(
  "an older bubblewrap, which cannot limit folders in memory, builds a wall all the same",
  async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-wall-")));
    const bwrap = join(folder, "bwrap");
    writeFileSync(bwrap, OLDER, { mode: 0o755 });
    const wall = new Bubblewrap({
      own: [folder],
      readable: [],
      home: folder,
      path: PATH,
      temporaryBytes: 1 << 20,
      bwrap,
    });
    onTestFinished(async () => {
      await wall.close();
      rmSync(folder, { recursive: true });
    });
    const { command, cwd } = await wall.enter(["/bin/sh", "-c", "echo stands"], folder);
    expect(spawnSync(command[0], command.slice(1), { cwd, encoding: "utf8" }).stdout).toBe("stands\n");
  },
);

/** Stands for a machine on which the limits of namespaces cannot be set. */
const POWERLESS = `#!/bin/sh
for each; do shift; [ "$each" = -- ] && set -- "$@" --cap-drop ALL; set -- "$@" "$each"; done
exec /usr/bin/bwrap "$@"
`;

test.skipIf(!isPossible)(
  "a wall whose namespaces cannot be limited does not stand, and says which limit failed",
  async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-wall-")));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const bwrap = join(folder, "bwrap");
    writeFileSync(bwrap, POWERLESS, { mode: 0o755 });
    const wall = new Bubblewrap({ own: [folder], readable: [], home: folder, path: PATH, bwrap });
    await expect(wall.enter(["true"], folder)).rejects.toThrow(
      "/proc/sys/user/max_cgroup_namespaces cannot be written",
    );
  },
);

test("bubblewrap's own complaint is the reason of a wall that it does not build", async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-wall-")));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const bwrap = join(folder, "bwrap");
  writeFileSync(bwrap, "#!/bin/sh\nexec 3>&-; sleep 0.2; echo 'bwrap: No permissions' >&2; exit 1\n", { mode: 0o755 });
  const wall = new Bubblewrap({ own: [], readable: [], home: "/nowhere", path: PATH, bwrap });
  await expect(wall.enter(["true"], "/")).rejects.toThrow(new WallError("bwrap: No permissions"));
});

test("a wall that cannot stand says so, and nothing runs without it", async () => {
  const wall = new Bubblewrap({ own: ["/does/not/exist"], readable: [], home: "/nowhere", path: PATH });
  await expect(wall.enter(["true"], "/")).rejects.toThrow(WallError);
});

test("without a wall a program starts as it is", async () => {
  expect(await NO_WALL.enter(["a", "b"], "/folder")).toEqual({ command: ["a", "b"], cwd: "/folder" });
  expect(NO_WALL.signalOf(137)).toBeUndefined();
});
