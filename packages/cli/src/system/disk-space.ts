/** Reports how much room is left on the disk of a state directory. */
import { statfsSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Databases cannot be opened with less free space, in bytes. */
const LEAST_BYTES = 1024 * 1024;
/** With less free space, in bytes, the next clone or log may fill the disk. */
const SCARCE_BYTES = 64 * 1024 * 1024;
/** With fewer files that can still be created, the next clone or installation of packages may use them up. */
const SCARCE_FILES = 10_000;

/** What is left of a disk, for users that are not root. */
export interface DiskSpace {
  readonly bytes: number;
  /** How many files can still be created; `undefined` when the file system has no such limit. */
  readonly files: number | undefined;
}

/** Returns what is left of the disk of a path, which need not exist yet. @throws when the disk cannot be queried */
export function diskSpace(path: string): DiskSpace {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(path);
    return { bytes: bavail * bsize, files: files === 0 ? undefined : ffree };
  } catch (error) {
    const parent = dirname(resolve(path));
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || parent === path) throw error;
    return diskSpace(parent);
  }
}

/** Returns whether Valet cannot work with what is left, or only for a short time; `undefined` when there is room. */
export function lackOfSpace({ bytes, files }: DiskSpace): "full" | "scarce" | undefined {
  if (bytes < LEAST_BYTES || files === 0) return "full";
  return bytes < SCARCE_BYTES || (files ?? SCARCE_FILES) < SCARCE_FILES ? "scarce" : undefined;
}
