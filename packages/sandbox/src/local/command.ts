import { execFile } from "node:child_process";
import { SANDBOX_ID_VARIABLE } from "./process-table.ts";

export interface CommandOptions {
  /**
   * The sandbox that the command works for. The command counts as one of its processes, so it does not outlive the
   * broker.
   */
  readonly sandboxId: string;
  /** Kills the command when aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a system tool to its end and returns its output.
 * @throws the signal's reason, or an Error with the exit code or signal; never the tool's output, which names files
 */
export function runCommand(
  file: string,
  args: readonly string[],
  { sandboxId, signal }: CommandOptions,
): Promise<string> {
  const env = { PATH: process.env.PATH, LC_ALL: "C", [SANDBOX_ID_VARIABLE]: sandboxId };
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = execFile(file, args, { env }, (error, stdout, stderr) => {
      signal?.removeEventListener("abort", kill);
      if (error === null) return resolve(stdout);
      if (signal?.aborted) return reject(signal.reason);
      const hint = stderr.includes("No space left on device") ? ": no space left on the device" : "";
      reject(new Error(`${file} ended with ${error.signal ?? error.code}${hint}`));
    });
    const kill = () => child.kill("SIGKILL");
    signal?.addEventListener("abort", kill);
  });
}
