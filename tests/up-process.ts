/** Runs `valet up` and other commands of the CLI for one test, and finds their processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { childrenOf, list, livingProcesses, readProcess } from "./processes.ts";
import {
  CLI,
  type CommandResult,
  hasEnded,
  runCli,
  startUp as start,
  type UpOptions,
  type UpProcess,
} from "./valet-up.ts";

/** Returns the path of a state directory that is removed after the test. */
export function temporaryState(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-up-")));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  return folder;
}

/** Starts a command of the CLI; killed after the test if it still runs. */
export function valet(args: readonly string[], { env = process.env }: Pick<UpOptions, "env"> = {}): ChildProcess {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...env } });
  killWithTest(child);
  return child;
}

/** Runs a command of the CLI to its end; killed after the test if it still runs. */
export function run(args: readonly string[], { env }: Pick<UpOptions, "env"> = {}): Promise<CommandResult> {
  return runCli(args, { env: env ?? process.env, onSpawn: killWithTest });
}

/** Starts `valet up`; killed after the test if it still runs. */
export function startUp(state: string, options: UpOptions = {}): Promise<UpProcess> {
  return start(state, { ...options, onSpawn: killWithTest });
}

function killWithTest(child: ChildProcess): void {
  onTestFinished(() => void (hasEnded(child) || child.kill("SIGKILL")));
}

/** Returns the living workerd processes that serve a state: those that hold its databases open. */
export function workersOf(state: string): number[] {
  const storage = join(realpathSync(state), "storage");
  return livingProcesses().filter((pid) => {
    if (readProcess(pid, "comm").trim() !== "workerd") return false;
    return list(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).startsWith(storage));
  });
}

/** Returns the children of `up` that are workerd, or are about to be. */
export function wrappersOf(upPid: number): number[] {
  return childrenOf(upPid).filter((pid) => readProcess(pid, "comm").startsWith("workerd"));
}

/** Returns the shells that wait for the death of a broker, to end its sandboxes then. */
export function guardiansOf(state: string): number[] {
  return livingProcesses().filter((pid) => {
    const command = readProcess(pid, "cmdline").split("\0");
    return command.includes("valet-sandbox-guardian") && command.includes(join(realpathSync(state), "broker"));
  });
}

/** Returns the living processes whose command line or environment contains a text. */
export function processesAbout(text: string): number[] {
  return livingProcesses().filter(
    (pid) =>
      pid !== process.pid && (readProcess(pid, "environ").includes(text) || readProcess(pid, "cmdline").includes(text)),
  );
}

/** Waits until a condition holds. @throws Error after the timeout */
export async function until(what: string, holds: () => unknown, timeoutMs = 20_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await holds()); await sleep(20)) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
