import { chmodSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";

/**
 * Makes a directory that only its owner may read, or makes the one that is there so.
 * @returns its path without links
 * @throws Error when it is a place that others need, such as /tmp; or the system's error
 */
export function makePrivateDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const real = realpathSync(path);
  const { mode } = statSync(real);
  if ((mode & 0o077) === 0) return real;
  // Directories that everybody writes to have the sticky bit.
  const isShared = (mode & 0o1000) !== 0 || real === "/" || real === homedir();
  if (isShared) throw new Error(`${path} cannot be closed to other users, as state must be. Name a folder in it.`);
  chmodSync(real, 0o700);
  return real;
}
