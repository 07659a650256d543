import { ExitCode } from "./errors.ts";

/**
 * Keeps the process running when its output cannot be written: the disk that holds its log is full, or the program that reads
 * it has ended. Without this the first line that cannot be written ends the process, and nothing says so. What is written once
 * there is space again arrives.
 *
 * A command whose result was lost fails, except where its reader has left, as `head` does.
 */
export function surviveOutputErrors(): void {
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") return;
    process.exitCode = ExitCode.USAGE;
    process.stderr.write(`valet: standard output cannot be written (${code}).\n`);
  });
  process.stderr.on("error", () => {});
}
