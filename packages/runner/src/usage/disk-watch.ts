/**
 * Watches how much the sandbox's folders take, without reading them where that can be ruled out: they take no more than all that is
 * on their file system, and grow by no more than was written. What is written between two looks may exceed the limit.
 */
import { spawn } from "node:child_process";
import { statfsSync } from "node:fs";
import { largest } from "./figures.ts";

export interface DiskWatchOptions {
  /** On one file system. */
  readonly folders: readonly string[];
  readonly limitBytes: number;
  /** Returns how much the folders take; `undefined` if that takes too long. Never rejects. */
  readonly measure?: (folders: readonly string[]) => Promise<number | undefined>;
  /** Returns how much all of their file system takes; `undefined` if that is unknown. */
  readonly fileSystem?: (folder: string) => number | undefined;
  readonly nowMs?: () => number;
}

/** The least time between two measurements, in ms. A measurement that takes long is repeated the more rarely. */
const INTERVAL_MS = 1_000;
const REST_FACTOR = 10;
const MEASURE_TIMEOUT_MS = 60_000;
const MIB = 1024 * 1024;
/** How much may be added after the disk was full: someone must be able to work in order to tidy up. */
const allowanceOf = (limitBytes: number) => Math.max(16 * MIB, Math.floor(limitBytes / 20));

interface Look {
  readonly bytes: number;
  readonly writtenBytes: number | undefined;
  readonly fileSystemBytes: number | undefined;
}

export class DiskWatch {
  readonly #options: Required<DiskWatchOptions>;
  #bound: number;
  #last: Look | undefined;
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor(options: DiskWatchOptions) {
    const nowMs = () => performance.now();
    this.#options = { measure: measureFolders, fileSystem: fileSystemBytes, nowMs, ...options };
    this.#bound = options.limitBytes;
  }

  /**
   * Returns whether the folders take more than they may. After that they may grow by a little more before it says so again.
   * @param writtenBytes what was written since the sandbox began; `undefined` if it is unknown
   * @param isDue whether to look even if the last look was just now
   */
  async isFull(writtenBytes: number | undefined, isDue = false): Promise<boolean> {
    const { folders, limitBytes, measure, fileSystem, nowMs } = this.#options;
    const [folder] = folders;
    if (folder === undefined || (!isDue && nowMs() < this.#nextMs)) return false;
    const fileSystemBytes = fileSystem(folder);
    if (this.#isRuledOut(writtenBytes, fileSystemBytes)) return false;
    const beganMs = nowMs();
    const bytes = await measure(folders);
    this.#nextMs = nowMs() + Math.max(INTERVAL_MS, REST_FACTOR * (nowMs() - beganMs));
    if (bytes === undefined) return false;
    this.#last = { bytes, writtenBytes, fileSystemBytes };
    if (bytes < limitBytes) this.#bound = limitBytes;
    if (bytes < this.#bound) return false;
    this.#bound = bytes + allowanceOf(limitBytes);
    return true;
  }

  #isRuledOut(writtenBytes: number | undefined, fileSystemBytes: number | undefined): boolean {
    if (fileSystemBytes === undefined) return false;
    if (fileSystemBytes < this.#bound) return true;
    const last = this.#last;
    if (last === undefined) return false;
    // Space may also be taken without writing to it, and others may give back what was taken here.
    const grown = largest(growth(last.writtenBytes, writtenBytes), growth(last.fileSystemBytes, fileSystemBytes));
    return grown !== undefined && last.bytes + grown < this.#bound;
  }
}

const growth = (from: number | undefined, to: number | undefined) =>
  from === undefined || to === undefined || to < from ? undefined : to - from;

function fileSystemBytes(folder: string): number | undefined {
  try {
    const { blocks, bfree, bsize } = statfsSync(folder);
    return (blocks - bfree) * bsize;
  } catch {
    return undefined;
  }
}

/** Adds up blocks, in a process of its own: hard links count once, and links are not followed. */
function measureFolders(folders: readonly string[]): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  // It fails, and has measured the rest, if a file is removed meanwhile. Its complaints could be endless.
  const du = spawn("/usr/bin/du", ["-s", "-x", "-k", "-c", "--", ...folders], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: MEASURE_TIMEOUT_MS,
    killSignal: "SIGKILL",
    env: { LC_ALL: "C" },
  });
  let printed = "";
  du.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
  });
  du.once("error", () => resolve(undefined));
  du.once("close", () => {
    const [, kib] = /^(\d+)\ttotal$/m.exec(printed) ?? [];
    resolve(kib === undefined ? undefined : Number(kib) * 1024);
  });
  return promise;
}
