/**
 * Finds what is not for everybody among the files of the machine that agents see: keys of servers in `/etc/ssl/private`, settings of
 * programs in `/opt`. An agent of a runner that is root would read them as root does, without any capability, since it is their owner.
 */
import { type Dirent, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** How deep below a folder to look, and at how many files and folders: a wall must stand at once. */
const MAX_DEPTH = 3;
const MAX_ENTRIES = 5_000;
/** How many to find: each is a mount of its own, and makes the next one slower. */
const MAX_FOUND = 256;
const OTHERS_MAY_READ = 0o004;
const OTHERS_MAY_ENTER = 0o001;
/** Whoever may write to a socket can connect to it, also where its folder is read-only. */
const OTHERS_MAY_CONNECT = 0o002;

export interface PrivatePath {
  readonly path: string;
  readonly isFolder: boolean;
}

/**
 * Returns the topmost private folders, files and sockets among these folders and in them: 256 at most, those near the top first. Does not
 * follow links, whose targets are in one of them or not visible.
 */
export function privatePaths(folders: readonly string[]): PrivatePath[] {
  const { closed = [], open = [] } = Object.groupBy(folders, (path) => (mayEnter(path) ? "open" : "closed"));
  const found: PrivatePath[] = closed.map((path) => ({ path, isFolder: true }));
  let left = MAX_ENTRIES;
  const wait = open.map((path) => ({ path, depth: 0 }));
  for (let next = wait.shift(); next !== undefined; next = wait.shift()) {
    for (const entry of entriesOf(next.path)) {
      if (left-- <= 0 || found.length === MAX_FOUND) return found;
      const path = join(next.path, entry.name);
      const isFolder = entry.isDirectory();
      const needed = permissionFor(entry);
      const mode = needed === undefined ? undefined : modeOf(path);
      if (needed === undefined || mode === undefined) continue;
      if ((mode & needed) === 0) found.push({ path, isFolder });
      else if (isFolder && next.depth + 1 < MAX_DEPTH) wait.push({ path, depth: next.depth + 1 });
    }
  }
  return found;
}

/** Returns the permission without which others can do nothing with an entry; `undefined` for what is never private. */
function permissionFor(entry: Dirent): number | undefined {
  if (entry.isDirectory()) return OTHERS_MAY_ENTER;
  if (entry.isFile()) return OTHERS_MAY_READ;
  return entry.isSocket() ? OTHERS_MAY_CONNECT : undefined;
}

/** Whether others may enter a folder, which may also be a file, or missing. */
function mayEnter(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() !== true || (found.mode & OTHERS_MAY_ENTER) !== 0;
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
