/** Pauses of processes that cannot stop where they are. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { temporaryFolder, uniqueSleep, waitFor } from "../../test/broker.ts";
import { endProcesses, pauseProcesses } from "./end-processes.ts";
import { findProcesses, SANDBOX_ID_VARIABLE } from "./process-table.ts";

/** clone(2)'s number, by Node's name of the processor. */
const CLONE: Readonly<Record<string, number>> = { x64: 56, arm64: 220 };
const clone = CLONE[process.arch];
const missing =
  spawnSync("perl", ["-e", "1"]).status !== 0
    ? "perl is missing"
    : clone === undefined
      ? "clone is not known here"
      : undefined;
/** CLONE_VFORK, with the signal SIGCHLD. */
const VFORK = 0x4000 | 17;

/** Starts a process of a sandbox, which ends with the test. */
function start(program: string, args: readonly string[]) {
  const sandboxId = `sb-${uniqueSleep().replaceAll(" ", "-")}`;
  const child = spawn(program, args, {
    env: { ...process.env, [SANDBOX_ID_VARIABLE]: sandboxId },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => endProcesses({ sandboxId }, { graceMs: 0, timeoutMs: 5000 }));
  return { child, target: { sandboxId } };
}

const states = (target: { sandboxId: string }) =>
  findProcesses(target)
    .map(({ state }) => state)
    .sort()
    .join("");

const isGone = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

describe.skipIf(missing !== undefined)(`with perl${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  test("a process that waits for its vfork child counts as paused once that has stopped, and both go on later", async () => {
    const go = join(temporaryFolder(), "go");
    const script = `if (syscall(${clone}, ${VFORK}, 0, 0, 0, 0) == 0) { select(undef, undef, undef, 0.01) until -e $ARGV[0]; exit } print "on";`;
    const { child, target } = start("perl", ["-e", script, go]);
    const said = once(child.stdout as NodeJS.ReadableStream, "data");
    await waitFor(() => states(target) === "DS");
    const resume = await pauseProcesses(target, 1000);
    expect(states(target)).toBe("DT");
    // A child that ran would end now.
    writeFileSync(go, "");
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(states(target)).toBe("DT");
    expect(isGone(child)).toBe(false);
    resume();
    expect(String((await said)[0])).toBe("on");
  });

  test("a chain of them, too", async () => {
    const script = `for (1 .. 3) { last if syscall(${clone}, ${VFORK}, 0, 0, 0, 0) != 0 } sleep 600`;
    const { target } = start("perl", ["-e", script]);
    await waitFor(() => states(target) === "DDDS");
    await pauseProcesses(target, 1000);
    expect(states(target)).toBe("DDDT");
  });
});

test("programs that start others without end are all paused, and nothing runs on", async () => {
  const { target } = start("bash", ["-c", "for each in 1 2 3; do (while :; do /bin/true; done) & done; wait"]);
  await waitFor(() => findProcesses(target).length > 3);
  for (let round = 0; round < 5; round++) {
    const resume = await pauseProcesses(target, 5000);
    const times = () =>
      findProcesses(target).map(({ pid }) =>
        readFileSync(`/proc/${pid}/stat`, "latin1").split(" ").slice(13, 15).join(),
      );
    const before = times();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(times()).toEqual(before);
    resume();
  }
});
