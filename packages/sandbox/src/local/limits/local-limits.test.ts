import { expect, test } from "vitest";
import { settingsOf } from "./group-files.ts";
import { appliedLimits, limitWarning } from "./local-limits.ts";
import { defaultLimits, readLimits } from "./wanted-limits.ts";

const GIB = 1024 ** 3;
const NOTHING = { memory: "none", cpu: "none", processes: "none" } as const;
const LIMITS = { memoryBytes: GIB, cpus: 1.5, processes: 100, diskBytes: GIB, openFiles: 1000 };

test("without control groups memory is watched, and processes only where the kernel counts them", () => {
  expect(appliedLimits(NOTHING, "bwrap", false)).toMatchObject({ memory: "watch", cpu: "none", processes: "rlimit" });
  expect(appliedLimits(NOTHING, "bwrap", true).processes).toBe("none");
  expect(appliedLimits(NOTHING, "none", false).processes).toBe("none");
});

test("what does not hold for the whole sandbox is said, and nothing else", () => {
  const groups = { memory: "cgroup2", cpu: "cgroup2", processes: "cgroup2" } as const;
  expect(limitWarning(appliedLimits(groups, "none", true))).toBeUndefined();
  expect(limitWarning(appliedLimits({ ...groups, cpu: "none" }, "bwrap", true))).toMatch(
    /^LIMITS OF SANDBOXES ARE WEAK HERE.*: nothing limits the use of processors\. With systemd/,
  );
  expect(limitWarning(appliedLimits(NOTHING, "none", true))).toMatch(/memory.*processors.*processes/);
});

test("defaults leave half of a machine, and always enough for OpenCode", () => {
  expect(defaultLimits({ memoryBytes: 64 * GIB, cpus: 8, diskBytes: 500 * GIB })).toEqual({
    memoryBytes: 32 * GIB,
    cpus: 8,
    processes: 4096,
    diskBytes: 250 * GIB,
    openFiles: 65_536,
  });
  expect(defaultLimits({ memoryBytes: GIB, cpus: 1, diskBytes: 1 }).memoryBytes).toBe(2 * GIB);
});

test("variables set limits; what is no number or too little is refused by its name", () => {
  expect(
    readLimits({ VALET_SANDBOX_CPUS: "0.5", VALET_SANDBOX_PROCESSES: "200", VALET_SANDBOX_DISK_BYTES: "" }),
  ).toEqual({
    cpus: 0.5,
    processes: 200,
  });
  for (const [name, value] of [
    ["VALET_SANDBOX_MEMORY_BYTES", "2G"],
    ["VALET_SANDBOX_MEMORY_BYTES", "1000"],
    ["VALET_SANDBOX_PROCESSES", "1.5"],
    ["VALET_SANDBOX_CPUS", "-1"],
    ["VALET_SANDBOX_OPEN_FILES", "Infinity"],
  ] as const) {
    expect(() => readLimits({ [name]: value })).toThrow(name);
  }
});

test("both versions get the same limits in their own files", () => {
  const written = (version: 1 | 2, controller: "memory" | "pids" | "cpu" | "cpuacct", cores = 4) =>
    Object.fromEntries(settingsOf(version, controller, LIMITS, cores).map(({ file, value }) => [file, value]));
  expect(written(2, "memory")).toEqual({ "memory.max": `${GIB}`, "memory.swap.max": "0" });
  expect(written(1, "memory")).toEqual({
    "memory.limit_in_bytes": `${GIB}`,
    "memory.memsw.limit_in_bytes": `${GIB}`,
  });
  expect(written(2, "pids")).toEqual(written(1, "pids"));
  expect(written(2, "cpu")).toEqual({ "cpu.max": "150000 100000" });
  expect(written(1, "cpu")).toEqual({ "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000" });
  // A quota for all of the machine would only cost time.
  expect(written(2, "cpu", 1)).toEqual({ "cpu.max": "max 100000" });
  expect(written(1, "cpu", 1)).toMatchObject({ "cpu.cfs_quota_us": "-1" });
  expect(written(1, "cpuacct")).toEqual({});
});
