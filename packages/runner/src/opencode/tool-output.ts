/**
 * Limits the tool output that OpenCode stores. OpenCode 1.18.33 shows the model a part of it and writes all of it to a file
 * (`tool-output` in its data folder), for a week and without a limit. One `yes` would fill the disk, and every later snapshot.
 */
import { lstatSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";

export interface ToolOutputOptions {
  readonly folder: string;
  /** The maximum size of all files together; 32 MiB by default. */
  readonly maxBytes?: number;
  /** The interval of checks. */
  readonly intervalMs?: number;
}

const MAX_BYTES = 32 * 1024 * 1024;
const INTERVAL_MS = 1_000;
/** OpenCode's names of the files. Other files are not touched. */
const NAME = /^tool_?\w+$/;

/** Returns the folder for OpenCode's environment; `undefined` without a home. */
export function toolOutputFolder(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { XDG_DATA_HOME: data, HOME: home } = env;
  if (data) return join(data, "opencode", "tool-output");
  return home ? join(home, ".local", "share", "opencode", "tool-output") : undefined;
}

/**
 * Keeps the newest files within the limit, now and at every interval. If the newest file alone exceeds the limit, it is
 * truncated; output that is written later leaves a hole in it.
 * @returns a function that checks a last time and ends the checks
 */
export function boundToolOutput({
  folder,
  maxBytes = MAX_BYTES,
  intervalMs = INTERVAL_MS,
}: ToolOutputOptions): () => void {
  const timer = setInterval(() => sweep(folder, maxBytes), intervalMs);
  timer.unref();
  sweep(folder, maxBytes);
  return () => {
    clearInterval(timer);
    sweep(folder, maxBytes);
  };
}

function sweep(folder: string, maxBytes: number): void {
  let left = maxBytes;
  for (const { path, bytes, isNewest } of filesIn(folder)) {
    try {
      if (bytes <= left) left -= bytes;
      else if (isNewest) {
        truncateSync(path, left);
        left = 0;
      } else rmSync(path);
    } catch {
      // The file was just deleted, or cannot be changed. The next check tries again.
    }
  }
}

/** Returns the files with their size on disk, newest first. */
function filesIn(folder: string) {
  try {
    // A link may lead to other files.
    if (!lstatSync(folder).isDirectory()) return [];
    const files = readdirSync(folder)
      .filter((name) => NAME.test(name))
      .map((name) => ({ path: join(folder, name), stat: lstatSync(join(folder, name)) }))
      .filter(({ stat }) => stat.isFile())
      .sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
    return files.map(({ path, stat }, index) => ({ path, bytes: 512 * stat.blocks, isNewest: index === 0 }));
  } catch {
    // The folder does not exist yet, or a file was just deleted.
    return [];
  }
}
