import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import type { CommandOptions } from "./command.ts";
import { SANDBOX_ID_VARIABLE } from "./process-table.ts";

export interface ToolOptions extends CommandOptions {
  /** The working directory. */
  readonly cwd: string;
  /** The standard input; empty if omitted. */
  readonly input?: Uint8Array | undefined;
  /** Descriptors that the tool inherits as 3, 4, … */
  readonly descriptors?: readonly number[];
  readonly onOutput?: (chunk: Buffer) => void;
  /** Called with each line of standard error, of which only the last 16 KiB are kept. */
  readonly onErrorLine?: (line: string) => void;
}

const MAX_LINE = 16 * 1024;

/**
 * Runs a system tool to its end without holding its output in memory. Kills the tool with its child processes on abort.
 * @returns its exit code; `null` when a signal killed it
 * @throws the abort signal's reason, or the error that kept it from starting
 */
export async function runTool(file: string, args: readonly string[], options: ToolOptions): Promise<number | null> {
  const { sandboxId, signal, cwd, input, descriptors = [], onOutput, onErrorLine } = options;
  signal?.throwIfAborted();
  const child = spawn(file, args, {
    cwd,
    // `find -execdir` refuses a PATH with relative folders.
    env: { PATH: absolutePath(), LC_ALL: "C", [SANDBOX_ID_VARIABLE]: sandboxId },
    detached: true,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe", ...descriptors],
  });
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // The process has just exited.
    }
  };
  signal?.addEventListener("abort", kill, { once: true });
  try {
    const [, stdout, stderr] = child.stdio;
    stdout?.on("data", (chunk: Buffer) => onOutput?.(chunk));
    if (stderr !== null && stderr !== undefined) eachLine(stderr as NodeJS.ReadableStream, onErrorLine ?? (() => {}));
    const stdin = child.stdio[0] as Writable | null;
    // A tool that exits without reading is noticed by its exit code.
    stdin?.on("error", () => {});
    stdin?.end(input);
    return await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => (signal?.aborted ? reject(signal.reason) : resolve(code)));
    });
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

function eachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString("latin1")).split("\n");
    rest = (lines.pop() ?? "").slice(-MAX_LINE);
    for (const line of lines) onLine(line.slice(-MAX_LINE));
  });
  stream.on("end", () => rest !== "" && onLine(rest));
}

function absolutePath(): string {
  const folders = (process.env.PATH ?? "").split(":").filter((folder) => folder.startsWith("/"));
  return folders.length === 0 ? "/usr/local/bin:/usr/bin:/bin" : folders.join(":");
}
