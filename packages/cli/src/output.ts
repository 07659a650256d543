import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { ExitCode } from "./errors.ts";

/** How many bytes are buffered for a reader that has stopped reading; further lines are dropped. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** How long an exiting process waits for the reader of its output. */
const DRAIN_MS = 1000;

/** Writes a line to standard error; drops it when too much is buffered already. */
export function writeLog(line: string): void {
  if (process.stderr.writableLength < MAX_UNREAD_BYTES) process.stderr.write(`${line}\n`);
}

/** Exits the process once its work is done, even if nobody reads its output. */
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
 * Keeps the process running when its output cannot be written, because the disk is full or the reading program has
 * exited. Without this handler the first failed write ends the process silently. Output written once there is space
 * again arrives.
 *
 * The exit code says that a command's result was lost, except when its reader has closed the pipe, as `head` does.
 */
export function surviveOutputErrors(): void {
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") return;
    process.exitCode = ExitCode.USAGE;
    process.stderr.write(`valet: standard output cannot be written (${code}).\n`);
  });
  process.stderr.on("error", () => {});
}
