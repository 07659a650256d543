/** Finds the state directory from the folders within the one that has it, as git finds `.git`. */
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** The files by which a folder is known as the state of `valet up`. */
const MARKS = ["format.json", "secrets.json", "connection.json"];

/**
 * Returns the nearest state directory with this name, in the person's folder or in those above it, as an absolute path; the name
 * alone if that is in the current folder, or there is none. One of another user is passed over: what it says of a running Valet would
 * be that user's word.
 */
export function findState(name: string, userFolder: string, cwd: string, userId = process.getuid?.()): string {
  for (let at = resolve(userFolder); ; at = dirname(at)) {
    const path = join(at, name);
    if (isState(path, userId)) return path === join(cwd, name) ? name : path;
    if (dirname(at) === at) return name;
  }
}

function isState(path: string, userId: number | undefined): boolean {
  try {
    const { uid } = statSync(path);
    return (userId === undefined || uid === userId) && MARKS.some((mark) => existsSync(join(path, mark)));
  } catch {
    return false;
  }
}
