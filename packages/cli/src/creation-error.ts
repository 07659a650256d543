/** Says why nothing can be created at a path. */
import { accessSync, constants, existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemErrorText } from "./system-error.ts";

/**
 * Returns why nothing can be created at `path`, and what to do; `undefined` if the error is not one of the operating system.
 * @param remedy what to do, in place of the general remedy
 */
export function creationText(path: string, error: unknown, remedy?: string): string | undefined {
  const cause = creationError(path, error);
  const { code, path: at = path } = cause as NodeJS.ErrnoException;
  if (code === undefined) return undefined;
  // A folder of the system, such as /proc, may refuse new entries as if they were missing.
  const why = code === "ENOENT" ? `${path}: nothing can be created there` : `${at}: it cannot be created (${code})`;
  return systemErrorText(cause, remedy) ?? `${why}. ${remedy ?? "Name another folder."}`;
}

/**
 * Returns the error that says why `path` cannot be created: `error`, or that of the nearest folder that exists, if nobody may write
 * there.
 */
function creationError(path: string, error: unknown): unknown {
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
