import { statfsSync } from "node:fs";
import { UserError } from "../errors.ts";

/** Databases cannot be opened with less free space. */
const LEAST_BYTES = 1024 * 1024;
const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const FORBIDDEN: readonly string[] = ["EROFS", "EACCES", "EPERM"];

/**
 * Returns the error to report for a failed start when the state directory's disk was the cause; `undefined` otherwise.
 * The databases' own errors do not name the disk.
 */
export function diskError(stateDir: string, error: unknown): UserError | undefined {
  if (error instanceof UserError) return undefined;
  const { code = "", path } = error as NodeJS.ErrnoException;
  const { bavail, bsize } = statfsSync(stateDir);
  if (FULL.includes(code) || bavail * bsize < LEAST_BYTES) {
    return new UserError(
      `The disk of the state directory ${stateDir} is full. Make room, or name another one with --state.`,
    );
  }
  if (!FORBIDDEN.includes(code) || !path?.startsWith(stateDir)) return undefined;
  return new UserError(
    `The state directory ${stateDir} cannot be written to (${code}). Name another one with --state.`,
  );
}
