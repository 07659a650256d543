/**
 * Reads what is in a folder that an agent can change, also through links, as long as they lead to something in the folder. Where a link
 * leads is looked up once it has been followed: what was found then is what is read, whatever the agent has put there meanwhile.
 */
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { join, sep } from "node:path";
import { HAS_DESCRIPTOR_PATHS } from "./open-folder.ts";
import { readAtMost } from "./read-at-most.ts";

/**
 * Finds a file without opening it, so that no device, pipe or file of others notices (open(2), O_PATH). Node has no name for it; the
 * number is that of x86 and ARM.
 */
const O_PATH = 0o10000000;

/** Returns a file's text; `undefined` if it is no regular file, not in the folder, or longer than `maxBytes`. */
export function readInside(root: string, name: string, maxBytes: number): string | undefined {
  return inside(root, name, (path, stats) => {
    if (!stats.isFile() || stats.size > maxBytes) return undefined;
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return readAtMost(file, maxBytes).toString("utf8");
    } finally {
      closeSync(file);
    }
  });
}

/** Returns what is in a folder; nothing if it is no folder, or not in the other one. @param name "" for the other one itself */
export function entriesInside(root: string, name: string): Dirent[] {
  return inside(root, name, (path) => readdirSync(path, { withFileTypes: true })) ?? [];
}

/** Returns whether there is something, and it is in the folder now. */
export function isInside(root: string, name: string): boolean {
  return inside(root, name, () => true) ?? false;
}

/** Calls `work` with a path that leads to what was found, and to nothing else. */
function inside<T>(root: string, name: string, work: (path: string, stats: Stats) => T): T | undefined {
  let found: number | undefined;
  try {
    const folder = realpathSync(root);
    if (!HAS_DESCRIPTOR_PATHS) {
      const path = realpathSync(join(folder, name));
      return isWithin(folder, path) ? work(path, statSync(path)) : undefined;
    }
    found = openSync(join(folder, name), O_PATH);
    const path = `/proc/self/fd/${found}`;
    return isWithin(folder, readlinkSync(path)) ? work(path, fstatSync(found)) : undefined;
  } catch {
    return undefined;
  } finally {
    if (found !== undefined) closeSync(found);
  }
}

function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
