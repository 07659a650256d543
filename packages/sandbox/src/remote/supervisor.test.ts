/** Runs the supervisor on folders that stand for the kernel's; with real engines `drivers/docker.test.ts` does. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/broker.ts";
import { OUT_OF_MEMORY_CODE, supervisorCommand, supervisorInput } from "./supervisor.ts";

/** Where each version has its files, and what those of the memory contain. */
const VERSIONS = {
  2: {
    memory: (kills: number, limits: number) => ({ "memory.events": `low 0\noom ${limits}\noom_kill ${kills}\n` }),
    pids: "",
  },
  1: {
    memory: (kills: number, limits: number) => ({
      "memory/memory.oom_control": `oom_kill_disable 0\noom_kill ${kills}\n`,
      "memory/memory.max_usage_in_bytes": "1000000\n",
      "memory/memory.limit_in_bytes": "2000000\n",
      "memory/memory.memsw.max_usage_in_bytes": `${limits === 0 ? 1_000_000 : 1_990_000}\n`,
      "memory/memory.memsw.limit_in_bytes": "2000000\n",
    }),
    pids: "pids/",
  },
} as const;

interface End {
  /** How the first entrypoint ends, in shell; the others as well, unless `thenBy` tells that. */
  readonly by: string;
  readonly thenBy?: string;
  /**
   * What the kernel has killed for memory, how often the container was at its own limit, and the processes that the kernel has refused,
   * before and after.
   */
  readonly kills?: readonly [number, number];
  readonly limits?: readonly [number, number];
  readonly refusals?: readonly [number, number];
  /** The container's processes when it has ended, and how many there may be. */
  readonly processes?: readonly [number, number | "max"];
}

/** Returns the input of the last entrypoint, and the exit code of the supervisor, which restarts once, or as often as told. */
async function afterEnd(version: 1 | 2, end: End, limit = 1) {
  const {
    by,
    thenBy = by,
    kills = [0, 0],
    limits = [0, 0],
    refusals = [0, 0],
    processes: [current, max] = [10, 4096],
  } = end;
  const folder = temporaryFolder();
  const { memory, pids } = VERSIONS[version];
  const files = (at: 0 | 1) => ({
    ...memory(kills[at], limits[at]),
    [`${pids}pids.events`]: `max ${refusals[at]}\n`,
    [`${pids}pids.current`]: `${current}\n`,
    [`${pids}pids.max`]: `${max}\n`,
  });
  const copies = [0, 1].map((at) => join(folder, `copy-${at}`));
  for (const [at, copy] of copies.entries()) {
    for (const [path, content] of Object.entries(files(at as 0 | 1))) {
      mkdirSync(dirname(join(copy, path)), { recursive: true });
      writeFileSync(join(copy, path), content);
    }
  }
  const [before, after] = copies as [string, string];
  const script = `cat >>inputs; cp -r ${after}/. ${before}/; [ -e ended ] && { ${thenBy}; exit; }; touch ended; ${by}`;
  const restart = { limit, delayMs: 1, maxDelayMs: 1, stableMs: 60_000 };
  const command = supervisorCommand(["bash", "-c", script], restart, false);
  const [file, ...args] = command.map((word) => word.replaceAll("/sys/fs/cgroup", before)) as [string, ...string[]];
  const child = spawn(file, args, { cwd: folder, stdio: ["pipe", "ignore", "pipe"] });
  child.stdin.end(supervisorInput(`sb-${crypto.randomUUID()}`, "token"));
  const said = text(child.stderr);
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  // Whatever it cannot read is no message of its own.
  expect(await said).not.toMatch(/No such file|syntax|integer/);
  const inputs = readFileSync(join(folder, "inputs"), "utf8").trim().split("\n");
  expect(JSON.parse(inputs[0] as string)).toEqual({ token: "token", restartCount: 0 });
  return { input: JSON.parse(inputs.at(-1) as string), code };
}

const KILLED = { by: "kill -KILL $$", kills: [1, 2], limits: [1, 2] } as const;
const FULL = { refusals: [3, 9], processes: [4000, 4096] } as const;

test.each<[what: string, cause: string | undefined, end: End]>([
  ["aborts while the container is full of processes", "sandbox_out_of_processes", { by: "kill -ABRT $$", ...FULL }],
  ["exits then", "sandbox_out_of_processes", { by: "exit 70", ...FULL }],
  ["is killed then", undefined, { by: "kill -KILL $$", ...FULL }],
  ["is asked to end then", undefined, { by: "trap - TERM; kill -TERM $$", ...FULL }],
  ["aborts, and no process was refused", undefined, { by: "kill -ABRT $$", ...FULL, refusals: [3, 3] }],
  [
    "aborts, and only its own threads are missing",
    "sandbox_out_of_processes",
    { by: "kill -ABRT $$", ...FULL, processes: [35, 64] },
  ],
  ["aborts long after a process was refused", undefined, { by: "kill -ABRT $$", ...FULL, processes: [3000, 4096] }],
  ["aborts where nothing limits them", undefined, { by: "kill -ABRT $$", ...FULL, processes: [4000, "max"] }],
  ["is killed, and the kernel has killed at the limit on memory", "sandbox_out_of_memory", KILLED],
  ["is killed so in a full container", "sandbox_out_of_memory", { ...KILLED, ...FULL }],
  ["is killed, and the kernel had killed before", undefined, { ...KILLED, kills: [1, 1] }],
  ["is killed for lack of the machine's own memory", undefined, { ...KILLED, limits: [0, 0] }],
  ["aborts, and the kernel has killed another", undefined, { ...KILLED, by: "kill -ABRT $$" }],
])("an entrypoint that %s: the next one learns the cause %s", async (_what, cause, end) => {
  for (const version of [1, 2] as const) {
    expect((await afterEnd(version, end)).input).toEqual({
      token: "token",
      restartCount: 1,
      ...(cause !== undefined && { restartCause: cause }),
    });
  }
});

test.each([
  ["right after its start, keeps", "exit 70", "sandbox_out_of_memory"],
  ["later, does not keep", "sleep 2; exit 70", undefined],
])("an entrypoint that ends %s the known cause of the end before", async (_when, thenBy, cause) => {
  const { input } = await afterEnd(2, { ...KILLED, thenBy }, 2);
  expect([input.restartCount, input.restartCause]).toEqual([2, cause]);
});

test("a supervisor that restarts it no more tells of memory by its exit code", async () => {
  // The copied counts do not change any more, so the second end has no cause.
  expect((await afterEnd(2, KILLED)).code).toBe(137);
  const grows = (keys: string) =>
    `for each in copy-*; do for key in ${keys}; do echo $key $(wc -l <inputs); done >$each/memory.events; done; kill -KILL $$`;
  expect((await afterEnd(2, { by: grows("oom oom_kill") })).code).toBe(OUT_OF_MEMORY_CODE);
  expect((await afterEnd(2, { by: grows("oom_kill") })).code).toBe(137);
});
