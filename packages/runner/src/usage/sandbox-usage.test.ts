import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hitsBetween, usageBetween } from "./figures.ts";
import type { Reading } from "./meter.ts";
import { SandboxUsage, type SandboxUsageOptions } from "./sandbox-usage.ts";

const NOTHING: Reading = {
  cpuMs: 0,
  memoryBytes: 0,
  oomKills: 0,
  refusedForks: 0,
  tasks: 1,
  writtenBytes: 0,
  isOutOfFiles: false,
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp(more: Partial<SandboxUsageOptions> = {}) {
  let now = NOTHING;
  const exhausted: string[] = [];
  const usage = new SandboxUsage({
    meter: { read: () => now, keep: () => {} },
    maxTasks: 100,
    onExhausted: (limit) => exhausted.push(limit),
    ...more,
  });
  return {
    usage,
    exhausted,
    set: (changes: Partial<Reading>) => {
      now = { ...now, ...changes };
    },
  };
}

describe("figures of work", () => {
  test("are what was used meanwhile, and work at the same time shares them", () => {
    const { usage, set } = setUp();
    set({ cpuMs: 1000, memoryBytes: 50, writtenBytes: 10 });
    const turn = usage.begin();
    set({ cpuMs: 1500, memoryBytes: 90 });
    const tool = usage.begin();
    vi.advanceTimersByTime(250);
    set({ cpuMs: 3000.4, memoryBytes: 70, writtenBytes: 4106 });
    expect(tool.end().usage).toEqual({ cpuMs: 1500, memoryPeakBytes: 90, diskWrittenBytes: 4096 });
    set({ cpuMs: 9000, memoryBytes: 10 });
    const { usage: used } = turn.end();
    expect(used).toEqual({ cpuMs: 8000, memoryPeakBytes: 90, diskWrittenBytes: 4096 });
    // Idempotent.
    set({ cpuMs: 20_000 });
    expect(turn.end().usage).toBe(used);
  });

  test("what is unknown at either end is absent, and a total that fell is unknown", () => {
    const before = { ...NOTHING, cpuMs: undefined, writtenBytes: 100 };
    expect(usageBetween(before, { ...NOTHING, cpuMs: 5, writtenBytes: 50 }, undefined)).toEqual({});
  });

  test("are never negative", () => {
    const amount = fc.option(fc.nat(), { nil: undefined });
    fc.assert(
      fc.property(amount, amount, amount, amount, (cpu, later, bytes, laterBytes) => {
        const used = usageBetween(
          { ...NOTHING, cpuMs: cpu, writtenBytes: bytes },
          { ...NOTHING, cpuMs: later, writtenBytes: laterBytes },
          undefined,
        );
        for (const value of Object.values(used)) expect(value).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test("nothing is read while no work goes on", () => {
    let reads = 0;
    const { usage } = setUp({ meter: { read: () => ({ ...NOTHING, cpuMs: ++reads }), keep: () => {} } });
    usage.begin().end();
    const before = reads;
    vi.advanceTimersByTime(60_000);
    expect(reads).toBe(before);
  });
});

describe("limits", () => {
  test("those that are hit during work are known of it, in order, and work from before or after has none", () => {
    const { usage, set } = setUp();
    const earlier = usage.begin();
    earlier.end();
    const turn = usage.begin();
    set({ oomKills: 1 });
    vi.advanceTimersByTime(250);
    set({ refusedForks: 4 });
    const tool = usage.begin();
    set({ refusedForks: 5 });
    expect(tool.end().limits).toEqual(["sandbox_out_of_processes"]);
    expect(turn.end().limits).toEqual(["sandbox_out_of_memory", "sandbox_out_of_processes"]);
    expect(usage.begin().end().limits).toEqual([]);
    expect(earlier.end().limits).toEqual([]);
  });

  test("a hit while nothing was measured does not belong to the next work", () => {
    const { usage, set } = setUp();
    usage.begin().end();
    set({ oomKills: 3 });
    expect(usage.begin().end().limits).toEqual([]);
  });

  test("explain the end of a process only right after they were hit", () => {
    const { usage, set } = setUp();
    usage.begin();
    expect(usage.recentLimit()).toBeUndefined();
    set({ oomKills: 1 });
    expect(usage.recentLimit()).toBe("sandbox_out_of_memory");
    vi.advanceTimersByTime(2_500);
    expect(usage.recentLimit()).toBeUndefined();
  });

  test("explain the end of a process that ended by itself only if they do not kill", () => {
    const { usage, set } = setUp();
    usage.begin();
    set({ oomKills: 1 });
    expect(usage.recentLimit(false)).toBeUndefined();
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
    set({ refusedForks: 1 });
    expect(usage.recentLimit(false)).toBe("sandbox_out_of_processes");
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
  });

  test("explain the end of a killed process for longer, since a busy machine tells late of it, but of one only", () => {
    const { usage, set } = setUp();
    usage.begin();
    set({ oomKills: 1 });
    vi.advanceTimersByTime(10_000);
    expect(usage.recentLimit(false)).toBeUndefined();
    expect(usage.recentLimit()).toBeUndefined();
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
    expect(usage.recentLimit(true)).toBeUndefined();
    set({ oomKills: 2 });
    vi.advanceTimersByTime(60_000);
    expect(usage.recentLimit(true)).toBeUndefined();
  });

  test("that have explained the end of a program do not explain that of the agent long after, unless more was killed", () => {
    const { usage, set } = setUp();
    usage.begin();
    set({ oomKills: 1 });
    vi.advanceTimersByTime(3_000);
    usage.explained("sandbox_out_of_memory");
    expect(usage.recentLimit(true)).toBeUndefined();
    // Two processes are killed at once. A tool's end explains the first kill.
    set({ oomKills: 3 });
    vi.advanceTimersByTime(3_000);
    usage.explained("sandbox_out_of_memory");
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
    // Two processes are killed one after the other, before a tool's end explains the first kill.
    set({ oomKills: 4 });
    vi.advanceTimersByTime(250);
    set({ oomKills: 5 });
    vi.advanceTimersByTime(3_000);
    usage.explained("sandbox_out_of_memory");
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
    vi.advanceTimersByTime(3_000);
    expect(usage.recentLimit(true)).toBeUndefined();
  });

  test("that the runner killed for, explain the end of a killed process although they refused something afterwards", () => {
    const { usage, set } = setUp();
    usage.begin();
    set({ oomKills: 1 });
    vi.advanceTimersByTime(5_000);
    set({ tasks: 100, refusedForks: 10 });
    vi.advanceTimersByTime(5_000);
    set({ tasks: 1, refusedForks: 20 });
    vi.advanceTimersByTime(250);
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_processes");
  });

  test("that were hit at some time between two turns explain the end of a killed process, and of no other", () => {
    const { usage, set } = setUp();
    usage.begin().end();
    set({ oomKills: 1 });
    vi.advanceTimersByTime(60_000);
    usage.begin();
    expect(usage.recentLimit()).toBeUndefined();
    expect(usage.recentLimit(false)).toBeUndefined();
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
  });

  test("explain the end of a process that was killed before any work, as it started", () => {
    const { usage, set } = setUp();
    vi.advanceTimersByTime(5_000);
    set({ oomKills: 1 });
    expect(usage.recentLimit(false)).toBeUndefined();
    expect(usage.recentLimit(true)).toBe("sandbox_out_of_memory");
  });

  test("a counter that becomes known was not hit", () => {
    expect(hitsBetween({ ...NOTHING, oomKills: undefined }, { ...NOTHING, oomKills: 7 })).toEqual([]);
  });

  test("a sandbox that stays full of processes is emptied; one that is full for a moment is not", () => {
    const { usage, set, exhausted } = setUp();
    const turn = usage.begin();
    set({ tasks: 100 });
    vi.advanceTimersByTime(1_000);
    set({ tasks: 94 });
    vi.advanceTimersByTime(1_000);
    expect(exhausted).toEqual([]);
    set({ tasks: 100 });
    vi.advanceTimersByTime(4_000);
    expect(exhausted).toEqual(["sandbox_out_of_processes"]);
    set({ tasks: 1 });
    expect(turn.end().limits).toEqual(["sandbox_out_of_processes"]);
  });

  test("a sandbox that work leaves full of processes is emptied for the next", () => {
    const { usage, set, exhausted } = setUp();
    const turn = usage.begin();
    set({ tasks: 96 });
    turn.end();
    expect(exhausted).toEqual(["sandbox_out_of_processes"]);
  });

  test("memory that nothing else limits ends work above the limit", () => {
    const { usage, set, exhausted } = setUp({ maxMemoryBytes: 1000 });
    const turn = usage.begin();
    set({ memoryBytes: 1000 });
    vi.advanceTimersByTime(500);
    expect(exhausted).toEqual([]);
    set({ memoryBytes: 1001 });
    vi.advanceTimersByTime(250);
    expect(exhausted).toEqual(["sandbox_out_of_memory"]);
    expect(turn.end().limits).toEqual(["sandbox_out_of_memory"]);
  });

  test("a disk that becomes full ends work, and one look at a time is enough", async () => {
    let looks = 0;
    const later = Promise.withResolvers<boolean>();
    const { usage, exhausted } = setUp({
      isDiskFull: (_reading, isDue) => {
        looks++;
        return isDue ? Promise.resolve(false) : later.promise;
      },
    });
    const turn = usage.begin();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(looks).toBe(2);
    later.resolve(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(exhausted).toEqual(["sandbox_disk_full"]);
    expect(turn.end().limits).toEqual(["sandbox_disk_full"]);
  });

  test("a disk that was full before the work ends nothing, and work that joins it looks no more", async () => {
    const looks: boolean[] = [];
    const { usage, exhausted } = setUp({
      isDiskFull: async (_reading, isDue) => {
        looks.push(isDue);
        return isDue;
      },
    });
    const turn = usage.begin();
    const call = usage.begin();
    await vi.advanceTimersByTimeAsync(600);
    expect(looks).toEqual([true, false, false]);
    expect(exhausted).toEqual([]);
    for (const { limits } of [call.end(), turn.end()]) expect(limits).toEqual([]);
  });

  test("a look that the work before began ends nothing of the next", async () => {
    const slow = Promise.withResolvers<boolean>();
    const { usage, exhausted } = setUp({ isDiskFull: async (_reading, isDue) => (isDue ? false : slow.promise) });
    const first = usage.begin();
    await vi.advanceTimersByTimeAsync(300);
    first.end();
    const next = usage.begin();
    slow.resolve(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(exhausted).toEqual([]);
    expect(next.end().limits).toEqual([]);
  });

  test("work that begins during a look for the work before is looked at first, once that has ended, and not ended for what it finds", async () => {
    const slow = Promise.withResolvers<boolean>();
    const looks: boolean[] = [];
    const { usage, exhausted } = setUp({
      isDiskFull: async (_reading, isDue) => {
        looks.push(isDue);
        return looks.length === 2 ? slow.promise : isDue;
      },
    });
    const first = usage.begin();
    await vi.advanceTimersByTimeAsync(300);
    first.end();
    const next = usage.begin();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(looks).toEqual([true, false]);
    // It began before the last file was there that made the disk full.
    slow.resolve(false);
    await vi.advanceTimersByTimeAsync(300);
    expect(looks).toEqual([true, false, true, false]);
    expect(exhausted).toEqual([]);
    expect(next.end().limits).toEqual([]);
  });
});
