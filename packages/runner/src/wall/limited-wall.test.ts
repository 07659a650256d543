import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import { describe, expect, onTestFinished, test } from "vitest";
import { LimitedWall } from "./limited-wall.ts";
import { parseOwnLimits, shellLimits } from "./process-limits.ts";
import { NO_WALL, WallError } from "./wall.ts";

const LIMITS: RunnerLimits = {
  memoryBytes: 1024 ** 3,
  cpus: 2,
  processes: 100,
  diskBytes: 1024 ** 2,
  openFiles: 300,
  applied: { memory: "cgroup1", cpu: "cgroup1", processes: "cgroup1", disk: "watch", open_files: "rlimit" },
  folders: [],
};
const WITHOUT_GROUPS = {
  memory: "watch",
  cpu: "none",
  processes: "rlimit",
  disk: "watch",
  open_files: "rlimit",
} as const;
const OWN = parseOwnLimits(readFileSync("/proc/self/limits", "utf8"));

async function run(limits: RunnerLimits, script: string) {
  const { command, cwd } = await new LimitedWall(NO_WALL, limits, OWN).enter(["/bin/sh", "-c", script], "/");
  const { stdout, stderr, status, signal } = spawnSync(command[0], command.slice(1), { cwd, encoding: "utf8" });
  return { stdout, stderr, status, signal };
}

describe("limits of each process", () => {
  test("a program has them, and is what the kernel ends first", async () => {
    const { stdout } = await run(LIMITS, "ulimit -n; ulimit -H -n; ulimit -f; cat /proc/self/oom_score_adj");
    expect(stdout).toBe("300\n300\n2048\n500\n");
  });

  test("a program that writes a larger file is ended", async () => {
    const folder = mkdtempSync(join(tmpdir(), "valet-limited-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { status, signal } = await run(LIMITS, `head -c 3000000 /dev/zero >${folder}/large; echo $?`);
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    expect(readFileSync(join(folder, "large"))).toHaveLength(1024 ** 2);
  });

  test("without control groups they are all that there is", async () => {
    const { stdout } = await run({ ...LIMITS, applied: WITHOUT_GROUPS }, 'grep "^Max proc" /proc/self/limits');
    expect(stdout).toMatch(/^Max processes +100 +100 /);
  });

  test("never above the runner's own", () => {
    const own = parseOwnLimits(
      "Limit  Soft Limit  Hard Limit  Units\nMax file size  unlimited  1024  bytes\nMax open files  64  128  files\n",
    );
    expect(own).toEqual({
      openFiles: { soft: 64, hard: 128 },
      fileSize: { soft: Number.POSITIVE_INFINITY, hard: 1024 },
    });
    expect(shellLimits(LIMITS, own)).toEqual({ openFiles: { soft: 64, hard: 128 }, fileBlocks: 2 });
  });
});

describe("a control group", () => {
  const pids = "/sys/fs/cgroup/pids";

  test("that has gone lets nothing enter", async () => {
    const entering = run({ ...LIMITS, group: { version: 2, path: "/sys/fs/cgroup/valet-gone" } }, "true");
    await expect(entering).rejects.toThrow(WallError);
  });

  test.skipIf(!existsSync(join(pids, "cgroup.procs")) || process.getuid?.() !== 0)(
    "is joined before the program begins (skipped without a writable hierarchy of version 1)",
    async () => {
      const group = join(pids, `valet-test-${process.pid}`);
      mkdirSync(group);
      onTestFinished(() => rmdirSync(group));
      const { stdout } = await run({ ...LIMITS, group: { version: 1, pids: group } }, "cat /proc/self/cgroup");
      expect(stdout).toContain(`:/valet-test-${process.pid}`);
    },
  );
});
