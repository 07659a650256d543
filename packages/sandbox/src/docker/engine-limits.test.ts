import { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import { expect, test } from "vitest";
import { engineLimits } from "./engine-limits.ts";

const MIB = 1024 * 1024;
const MACHINE = { memoryBytes: 8192 * MIB, cpus: 4, diskBytes: 10_000 * MIB };
const ABLE = { CgroupVersion: "2", MemoryLimit: true, PidsLimit: true, CpuCfsQuota: true };

test("an engine that can limit everything does, by its version of control groups, and the runner reads the container's group", () => {
  const { applied, shown, ofRunner } = engineLimits(ABLE, {}, MACHINE, ["/sandbox/home"]);
  expect(applied).toEqual({
    memory: "cgroup2",
    cpu: "cgroup2",
    processes: "cgroup2",
    disk: "watch",
    open_files: "rlimit",
  });
  expect(shown.memory).toEqual({ value: 4096 * MIB, by: "cgroup2" });
  expect(RunnerLimits.parse(ofRunner)).toEqual(ofRunner);
  expect(ofRunner).toMatchObject({
    containerGroup: { version: 2, path: "/sys/fs/cgroup" },
    folders: ["/sandbox/home"],
  });
  expect(ofRunner.group).toBeUndefined();
  const older = engineLimits({ ...ABLE, CgroupVersion: "1" }, {}, MACHINE, []);
  expect(older.applied.memory).toBe("cgroup1");
  expect(older.ofRunner.containerGroup).toMatchObject({ version: 1, pids: "/sys/fs/cgroup/pids" });
});

test("what the engine cannot limit is watched by the runner or not limited, and shown so", () => {
  const weak = engineLimits({ ...ABLE, MemoryLimit: false, PidsLimit: false, CpuCfsQuota: false }, {}, MACHINE, []);
  expect(weak.shown).toMatchObject({ memory: { by: "watch" }, cpu: { by: "none" }, processes: { by: "none" } });
  expect(engineLimits({}, {}, MACHINE, []).applied).toEqual(weak.applied);
});

test("defaults fit the engine's machine; no more processors are asked for than it has", () => {
  const { limits } = engineLimits({ ...ABLE, NCPU: 2, MemTotal: 6144 * MIB }, { cpus: 9 }, MACHINE, []);
  expect(limits).toMatchObject({ memoryBytes: 3072 * MIB, cpus: 2, diskBytes: 5000 * MIB });
});
