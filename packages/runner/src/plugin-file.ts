/**
 * Checks that OpenCode can read Valet's plugin. Without the plugin, OpenCode starts all the same and says nothing, and its secrets are
 * not hidden from commands.
 */
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const OTHERS_READ = 0o004;
const OTHERS_ENTER = 0o001;

/**
 * Returns what is wrong with the file, for a person; `undefined` if OpenCode can read it.
 * @param url the plugin's, as OpenCode gets it
 * @param isOtherUser whether OpenCode runs as another user, who owns neither file nor folders, while this process may read everything
 */
export function pluginProblem(url: string, isOtherUser: boolean): string | undefined {
  try {
    const path = realpathSync(fileURLToPath(url));
    accessSync(path, constants.R_OK);
    const closed = isOtherUser ? closedToOthers(path) : undefined;
    return closed && `OpenCode's plugin cannot be read by its user: ${closed} is closed to others`;
  } catch (error) {
    return `OpenCode's plugin cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"}): ${url}`;
  }
}

/** Returns the file, or the folder above it, that keeps others from reading it. */
function closedToOthers(path: string): string | undefined {
  if ((statSync(path).mode & OTHERS_READ) === 0) return path;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & OTHERS_ENTER) === 0) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}
