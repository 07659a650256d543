/** Checks of files in a workspace. None of them follows a symbolic link. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Returns whether `.git` is a folder of the workspace, not a link, and its configuration is a plain file. */
export function isOwnRepository(workspace: string): boolean {
  const git = join(workspace, ".git");
  return lstatSync(git, { throwIfNoEntry: false })?.isDirectory() === true && isPlainFile(join(git, "config"));
}

/** Returns whether a folder is readable and empty. */
export function isEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch {
    return false;
  }
}

/** Returns whether the path is a regular file, not a link. */
export function isPlainFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Returns whether the path exists. A link exists even if its target does not. */
export function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
