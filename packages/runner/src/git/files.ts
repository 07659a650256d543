/** What there is in a workspace. None of these follows a link. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Whether there is a repository that is the workspace's own: no link to another, none whose configuration is no file. */
export function isOwnRepository(workspace: string): boolean {
  const git = join(workspace, ".git");
  return lstatSync(git, { throwIfNoEntry: false })?.isDirectory() === true && isPlainFile(join(git, "config"));
}

/** Whether a folder can be read and has no entry. */
export function isEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch {
    return false;
  }
}

/** Whether there is a regular file; a link is none. */
export function isPlainFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Whether there is anything; a link counts, wherever it leads. */
export function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
