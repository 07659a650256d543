/** Runs `valet up` and other commands of the CLI for one test. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
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
