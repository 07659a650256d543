import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { ExitCode } from "./errors.ts";

/** What waits for a reader that has stopped to read, in bytes: lines after that are lost. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** How long a process that ends waits for whoever reads its output. */
const DRAIN_MS = 1000;

/** Writes a line to standard error; loses it where too much waits to be read already. */
export function writeLog(line: string): void {
  if (process.stderr.writableLength < MAX_UNREAD_BYTES) process.stderr.write(`${line}\n`);
}

/** Ends the process, whose work is done, also where nobody reads what it has written. */
export async function exitSoon(): Promise<void> {
  const isUnread = (stream: NodeJS.WriteStream) => stream.writableLength > 0;
  const unread = [process.stdout, process.stderr].filter(isUnread);
  await Promise.race([
    Promise.all(unread.map((stream) => once(stream, "drain"))),
    sleep(DRAIN_MS, undefined, { ref: false }),
  ]).catch(() => {});
  if (unread.some(isUnread)) process.exit();
}

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
