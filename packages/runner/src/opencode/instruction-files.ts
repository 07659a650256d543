/** Finds the files of a trusted repository that a pattern of its configuration names as instructions. */
import { join, normalize } from "node:path";
import { entriesInside } from "../files/read-inside.ts";

/** How many files and folders are looked at: a pattern may ask for every file of a large repository. */
const MAX_ENTRIES = 50_000;

/** Returns the paths of the matching files, from the workspace. None is outside it, and no link leads the search there. */
export function instructionFiles(workspace: string, pattern: string): string[] {
  const wanted = normalize(pattern);
  const whole = new Bun.Glob(wanted);
  // Each name has a part of the pattern of its own, unless a part stands for several names.
  const parts = /\*\*|\{/.test(wanted) ? undefined : wanted.split("/").map((part) => new Bun.Glob(part));
  const found: string[] = [];
  let left = MAX_ENTRIES;
  const search = (folder: string, depth: number) => {
    for (const entry of entriesInside(workspace, folder)) {
      if (left-- <= 0) return;
      const path = join(folder, entry.name);
      if (!entry.isDirectory() && whole.match(path)) found.push(path);
      const leadsOn =
        parts === undefined ? entry.isDirectory() : depth + 1 < parts.length && parts[depth]?.match(entry.name);
      if (leadsOn) search(path, depth + 1);
    }
  };
  search("", 0);
  return found.sort();
}
