/**
 * Finds what is not for everybody among the files of the machine that agents see: keys of servers in `/etc/ssl/private`, settings of
 * programs in `/opt`. An agent of a runner that is root would read them as root does, without any capability, since it is their owner.
 */
import { type Dirent, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** How deep below a folder to look, and at how many files and folders: a wall must stand at once. */
const MAX_DEPTH = 3;
const MAX_ENTRIES = 5_000;
/** How many to find: each is a mount of its own, and makes the next one slower. */
const MAX_FOUND = 256;
const OTHERS_MAY_READ = 0o004;
const OTHERS_MAY_ENTER = 0o001;

export interface PrivatePath {
  readonly path: string;
  readonly isFolder: boolean;
}

/** Returns the topmost private files and folders in these folders: 256 at most, those near the top first. Does not follow links, whose targets are in one of them or not visible. */
export function privatePaths(folders: readonly string[]): PrivatePath[] {
  const found: PrivatePath[] = [];
  let left = MAX_ENTRIES;
  const wait = folders.map((path) => ({ path, depth: 0 }));
  for (let next = wait.shift(); next !== undefined; next = wait.shift()) {
    for (const entry of entriesOf(next.path)) {
      if (left-- <= 0 || found.length === MAX_FOUND) return found;
      const path = join(next.path, entry.name);
      const isFolder = entry.isDirectory();
      const mode = isFolder || entry.isFile() ? modeOf(path) : undefined;
      if (mode === undefined) continue;
      if ((mode & (isFolder ? OTHERS_MAY_ENTER : OTHERS_MAY_READ)) === 0) found.push({ path, isFolder });
      else if (isFolder && next.depth + 1 < MAX_DEPTH) wait.push({ path, depth: next.depth + 1 });
    }
  }
  return found;
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function modeOf(path: string): number | undefined {
  try {
    return lstatSync(path).mode;
  } catch {
    return undefined;
  }
}
