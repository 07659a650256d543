/**
 * Adds up what processes wrote to disks (`/proc/<pid>/io`, proc(5)), also those that hide.
 *
 * A process that makes itself not dumpable (prctl(2), PR_SET_DUMPABLE), as OpenCode does, gives its files in /proc to the machine's root: an
 * ordinary user can then no longer open them. But a file that was opened before can still be read by whoever made the process's
 * user namespace, and that is the runner.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { writtenOf } from "./process-files.ts";

const GONE = ["ENOENT", "ESRCH"];
/** The file has seven short lines. */
const MAX_BYTES = 1024;

export class WrittenBytes {
  /** Open files of processes that may hide, by process id. */
  readonly #kept = new Map<number, number>();

  /** Keeps what is needed to read these processes once they hide, and gives up what was kept before for those that have ended. */
  keep(pids: readonly number[]): void {
    for (const [pid, file] of this.#kept) if (readKept(file) === undefined) this.#forget(pid, file);
    for (const pid of pids) {
      if (this.#kept.has(pid)) continue;
      try {
        this.#kept.set(pid, openSync(ioFile(pid), "r"));
      } catch {
        // It has ended, or hides already, and then its figures are unknown.
      }
    }
  }

  /** Returns the sum; `undefined` if a process has ended meanwhile, or hides. Never throws. */
  sumOf(pids: readonly number[]): number | undefined {
    let sum = 0;
    for (const pid of pids) {
      const bytes = this.#writtenBy(pid);
      if (bytes === undefined) return undefined;
      sum += bytes;
    }
    return sum;
  }

  #writtenBy(pid: number): number | undefined {
    try {
      return writtenOf(readFileSync(ioFile(pid), "latin1"));
    } catch (error) {
      const kept = this.#kept.get(pid);
      if (kept === undefined || GONE.includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      return readKept(kept);
    }
  }

  #forget(pid: number, file: number): void {
    closeSync(file);
    this.#kept.delete(pid);
  }
}

const ioFile = (pid: number) => `/proc/${pid}/io`;

/** Returns what a process wrote; `undefined` if it has ended. */
function readKept(file: number): number | undefined {
  const buffer = Buffer.alloc(MAX_BYTES);
  try {
    return writtenOf(buffer.toString("latin1", 0, readSync(file, buffer, 0, MAX_BYTES, 0)));
  } catch {
    return undefined;
  }
}
