import { UserError } from "../errors.ts";
import { type DiskSpace, diskSpace, lackOfSpace } from "./disk-space.ts";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const FORBIDDEN: readonly string[] = ["EROFS", "EACCES", "EPERM"];

/**
 * Refuses a state directory whose disk has no room for the databases: the system would start, and fail every request.
 * @param space what is left of its disk
 * @throws UserError
 */
export function requireSpace(stateDir: string, space: DiskSpace | undefined = spaceOf(stateDir)): void {
  if (space !== undefined && lackOfSpace(space) === "full") throw fullDisk(stateDir);
}

/**
 * Returns the error to report for a failed start when the state directory's disk was the cause; `undefined` otherwise.
 * The databases' own errors do not name the disk.
 */
export function diskError(stateDir: string, error: unknown): UserError | undefined {
  if (error instanceof UserError) return undefined;
  const { code = "", path } = error as NodeJS.ErrnoException;
  const space = spaceOf(stateDir);
  if (FULL.includes(code) || (space !== undefined && lackOfSpace(space) === "full")) return fullDisk(stateDir);
  if (!FORBIDDEN.includes(code) || !path?.startsWith(stateDir)) return undefined;
  return new UserError(
    `The state directory ${stateDir} cannot be written to (${code}). Name another one with --state.`,
  );
}

function fullDisk(stateDir: string): UserError {
  return new UserError(
    `The disk of the state directory ${stateDir} is full. Make room, or name another one with --state.`,
  );
}

/** Returns what is left of the directory's disk; `undefined` if the disk cannot be queried. */
function spaceOf(stateDir: string): DiskSpace | undefined {
  try {
    return diskSpace(stateDir);
  } catch {
    return undefined;
  }
}
