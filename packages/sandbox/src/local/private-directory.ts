import { chmodSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { makeFolders } from "./make-folders.ts";

/**
 * Creates a directory that only its owner may read, or restricts an existing one.
 * @returns its path with links resolved
 * @throws Error when other programs need the directory, such as /tmp; or the system's error
 */
export function makePrivateDirectory(path: string): string {
  makeFolders(path, 0o700);
  requireUnshared(path);
  const real = realpathSync(path);
  if (!isPrivate(real)) chmodSync(real, 0o700);
  return real;
}

/**
 * Refuses a directory that {@link makePrivateDirectory} would not restrict to its owner.
 * @throws Error when other programs need the directory, such as /tmp; or the system's error
 */
export function requireUnshared(path: string): void {
  const real = realpathSync(path);
  // Directories that everybody may write to have the sticky bit.
  const isShared = (statSync(real).mode & 0o1000) !== 0 || real === "/" || real === homedir();
  if (isShared && !isPrivate(real))
    throw new Error(
      `${path} holds other users' files, so it cannot be restricted to its owner, as a state directory must be. Name a folder inside it.`,
    );
}

function isPrivate(path: string): boolean {
  return (statSync(path).mode & 0o077) === 0;
}
