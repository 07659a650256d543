/** Finds out why nothing can be created at a path. */
import { accessSync, constants, existsSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Returns the error that says why `path` cannot be created: `error`, or that of the nearest folder that exists. Where a file system
 * is read-only, Node's `mkdir` of several levels says ENOENT.
 */
export function creationError(path: string, error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") return error;
  let folder = resolve(path);
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
    return error;
  } catch (cause) {
    return cause;
  }
}
