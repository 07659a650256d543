/** What the kernel's files say, of both versions of control groups and of single processes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type GroupFiles, numberBeside, readGroup, soleNumber } from "./group-files.ts";
import { cpuMsOf, memoryOf, writtenOf } from "./process-files.ts";

const filesOf = (version: 1 | 2, files: Record<string, string>): GroupFiles => ({
  version,
  read: (controller, file) => files[version === 2 ? file : `${controller}/${file}`],
});

describe("a control group", () => {
  test("of version 2", () => {
    const reading = readGroup(
      filesOf(2, {
        "cpu.stat": "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n",
        "memory.current": "104857600\n",
        "memory.stat": "anon 1000\nfile 50000000\ninactive_file 4857600\nactive_file 3\n",
        "memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n",
        "pids.events": "max 7\n",
        "pids.current": "13\n",
      }),
    );
    expect(reading).toEqual({ cpuMs: 1234.567, memoryBytes: 100_000_000, oomKills: 1, refusedForks: 7, tasks: 13 });
  });

  test("of version 1", () => {
    const reading = readGroup(
      filesOf(1, {
        "cpuacct/cpuacct.usage": "2500000000\n",
        "memory/memory.usage_in_bytes": "1000\n",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 400\n",
        "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        "pids/pids.events": "max 0\n",
        "pids/pids.current": "1\n",
      }),
    );
    expect(reading).toEqual({ cpuMs: 2500, memoryBytes: 600, oomKills: 3, refusedForks: 0, tasks: 1 });
  });

  test("what no file says is unknown, and never 0", () => {
    for (const version of [1, 2] as const) {
      expect(Object.values(readGroup(filesOf(version, {})))).toEqual([
        undefined,
        undefined,
        undefined,
        undefined,
        undefined,
      ]);
    }
    expect(soleNumber("max\n")).toBeUndefined();
    expect(numberBeside("oom_kill_disable 1\n", "oom_kill")).toBeUndefined();
  });

  test("whatever a file contains, a number or nothing comes of it", () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), (text, key) => {
        for (const value of [soleNumber(text), numberBeside(text, key)]) {
          expect(value === undefined || (Number.isInteger(value) && value >= 0) || value > 2 ** 53).toBe(true);
        }
      }),
    );
  });
});

describe("a process", () => {
  test("counts its own time and that of the children that it has waited for", () => {
    const stat = "42 (a ) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 5 6 7";
    expect(cpuMsOf(stat)).toBe(43_300);
    expect(cpuMsOf("")).toBeUndefined();
  });

  test("tells what it wrote, and its memory without mapped files", () => {
    expect(writtenOf("rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n")).toBe(4096);
    expect(writtenOf("")).toBeUndefined();
    expect(
      memoryOf("Name:\tx\nVmRSS:\t  300 kB\nRssAnon:\t     100 kB\nRssFile:\t  150 kB\nRssShmem:\t  50 kB\n"),
    ).toBe(153_600);
    expect(memoryOf("Name:\tkthread\n")).toBeUndefined();
  });
});
