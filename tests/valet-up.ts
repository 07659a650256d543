/** Starts `valet up` as a process of its own, as a user does. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { ApiClient } from "../packages/cli/src/api-client.ts";
import type { Connection } from "../packages/cli/src/system/state.ts";

export const CLI = resolve(import.meta.dirname, "../packages/cli/src/bin.ts");

/** Longer than a stop may take; a process that still runs then hangs. */
const STOP_TIMEOUT_MS = 60_000;
/** In UTF-16 code units. */
const MAX_LOG = 1024 * 1024;

export interface UpOptions {
  readonly args?: readonly string[];
  /** The whole environment; that of this process if omitted. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Called as soon as the process exists. */
  readonly onSpawn?: (child: ChildProcess) => void;
}

export interface UpProcess extends Connection {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly api: ApiClient;
  /** Returns the end of its standard error. */
  readonly log: () => string;
}

/**
 * Starts `valet up` and resolves when it is ready. It ends with this process at the latest.
 * @throws Error with its output when it exits instead
 */
export async function startUp(
  state: string,
  { args = [], env = process.env, onSpawn }: UpOptions = {},
): Promise<UpProcess> {
  const child = spawn(process.execPath, [CLI, "--state", state, "up", "--json", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...env },
  });
  onSpawn?.(child);
  const kill = () => child.kill("SIGTERM");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  let log = "";
  child.stderr.on("data", (chunk) => (log = (log + chunk).slice(-MAX_LOG)));
  const line = await new Promise<string>((ready, failed) => {
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
      if (output.includes("\n")) ready(output);
    });
    child.on("close", (code) => failed(new Error(`valet up ended with ${code}: ${log}`)));
  });
  const connection: Connection | { readonly error: { readonly message: string } } = JSON.parse(line);
  if ("error" in connection) {
    if (!hasEnded(child)) await once(child, "close");
    throw new Error(`valet up ended with ${child.exitCode}: ${connection.error.message}`);
  }
  return { ...connection, child, pid: child.pid as number, api: new ApiClient(connection), log: () => log };
}

/**
 * Ends it with a signal, and resolves to its exit code: if it can say something at its end, once all of that is read.
 * @throws Error after the timeout
 */
export async function endUp(
  { child }: Pick<UpProcess, "child">,
  signal: NodeJS.Signals = "SIGTERM",
): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode;
  // Of what is killed, others may keep the streams open.
  const ended = once(child, signal === "SIGKILL" ? "exit" : "close", { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) });
  child.kill(signal);
  const [code] = await ended;
  return code;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the CLI to its end, with `input` as its standard input. */
export async function runCli(
  args: readonly string[],
  { env = process.env, onSpawn, input = "" }: Pick<UpOptions, "env" | "onSpawn"> & { readonly input?: string } = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: "pipe", env: { ...env } });
  onSpawn?.(child);
  child.stdin.end(input);
  const [[code], stdout, stderr] = await Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Returns the variables with which `valet up` uses a scripted model. */
export function modelVariables({ url }: { readonly url: string }): Record<string, string> {
  return { VALET_MODEL_BASE_URL: url, VALET_MODEL: "scripted", VALET_MODEL_API_KEY: "none" };
}
