/** `valet up` as a process of its own, with what belongs to it on this machine. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";

export const CLI = resolve(import.meta.dirname, "../packages/cli/src/bin.ts");

export interface UpProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly token: string;
  /** What it has written to standard error. */
  readonly log: () => string;
}

export interface UpOptions {
  readonly args?: readonly string[];
  /** The whole environment, but for what Node itself needs. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** File descriptors for its output, instead of pipes to the test. */
  readonly output?: number;
}

/** A state directory's place; removed with the test. */
export function temporaryState(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-up-")));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  return folder;
}

/** Starts a command of the CLI; killed with the test, if it still runs. */
export function valet(args: readonly string[], { env = process.env }: Pick<UpOptions, "env"> = {}): ChildProcess {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...env } });
  onTestFinished(() => void (hasEnded(child) || child.kill("SIGKILL")));
  return child;
}

/**
 * Starts `valet up` and resolves when it is ready.
 * @throws Error with what it said, when it ends instead
 */
export async function startUp(state: string, { args = [], env }: UpOptions = {}): Promise<UpProcess> {
  const child = valet(["--state", state, "up", "--json", ...args], { env: env ?? process.env });
  let log = "";
  child.stderr?.on("data", (chunk) => (log += chunk));
  const line = await new Promise<string>((ready, failed) => {
    let output = "";
    child.stdout?.on("data", (chunk) => {
      output += chunk;
      if (output.includes("\n")) ready(output);
    });
    child.on("close", (code) => failed(new Error(`valet up ended with ${code}: ${log}`)));
  });
  return { child, pid: child.pid as number, ...JSON.parse(line), log: () => log };
}

/** Ends it with a signal and resolves to its exit code. */
export async function endUp({ child }: UpProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode;
  const ended = once(child, "exit");
  child.kill(signal);
  const [code] = await ended;
  return code;
}

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** The living workerd processes that serve a state: those that hold its databases open. */
export function workersOf(state: string): number[] {
  const storage = join(realpathSync(state), "storage");
  return livingProcesses().filter((pid) => {
    if (read(pid, "comm").trim() !== "workerd") return false;
    return listed(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).startsWith(storage));
  });
}

/** The children of `up` that are workerd, or are about to be. */
export function wrappersOf(upPid: number): number[] {
  return livingProcesses().filter((pid) => {
    const stat = read(pid, "stat");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return parent === upPid && read(pid, "comm").startsWith("workerd");
  });
}

/** The shell that waits for the death of a broker, and ends its sandboxes then. */
export function guardiansOf(state: string): number[] {
  return livingProcesses().filter((pid) => {
    const command = read(pid, "cmdline").split("\0");
    return command.includes("valet-sandbox-guardian") && command.includes(join(realpathSync(state), "broker"));
  });
}

/** The living processes whose command line or environment holds a text. */
export function processesAbout(text: string): number[] {
  return livingProcesses().filter(
    (pid) => pid !== process.pid && (read(pid, "environ").includes(text) || read(pid, "cmdline").includes(text)),
  );
}

/** Waits for a condition to hold. @throws Error when it does not come to hold in time */
export async function until(what: string, holds: () => unknown, timeoutMs = 20_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await holds()); await sleep(20)) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

export function commandOf(pid: number): string {
  return read(pid, "cmdline");
}

export function environmentOf(pid: number): string {
  return read(pid, "environ");
}

function livingProcesses(): number[] {
  return listed("/proc").flatMap((name) => (/^\d+$/.test(name) && isLiving(Number(name)) ? [Number(name)] : []));
}

function isLiving(pid: number): boolean {
  const stat = read(pid, "stat");
  return stat !== "" && !"ZXx".includes(stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "X");
}

/** Nothing where the process has ended, or is another user's. */
function read(pid: number, file: "cmdline" | "comm" | "environ" | "stat"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

function listed(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
