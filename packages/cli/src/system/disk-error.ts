import { UserError } from "../errors.ts";
import { diskSpace, lackOfSpace } from "./disk-space.ts";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const FORBIDDEN: readonly string[] = ["EROFS", "EACCES", "EPERM"];

/**
 * Returns the error to report for a failed start when the state directory's disk was the cause; `undefined` otherwise.
 * The databases' own errors do not name the disk.
 */
export function diskError(stateDir: string, error: unknown): UserError | undefined {
  if (error instanceof UserError) return undefined;
  const { code = "", path } = error as NodeJS.ErrnoException;
  if (FULL.includes(code) || lackOfSpace(diskSpace(stateDir)) === "full") {
    return new UserError(
      `The disk of the state directory ${stateDir} is full. Make room, or name another one with --state.`,
    );
  }
  if (!FORBIDDEN.includes(code) || !path?.startsWith(stateDir)) return undefined;
  return new UserError(
    `The state directory ${stateDir} cannot be written to (${code}). Name another one with --state.`,
  );
}
