import { statfsSync } from "node:fs";
import { UserError } from "../errors.ts";

/** With less, databases cannot be opened. */
const LEAST_BYTES = 1024 * 1024;
const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const FORBIDDEN: readonly string[] = ["EROFS", "EACCES", "EPERM"];

/** What to tell of a start that failed, if the state directory's disk was the reason: databases name it in words of their own. */
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
  return new UserError(`The state directory ${stateDir} cannot be written (${code}). Name another one with --state.`);
}
