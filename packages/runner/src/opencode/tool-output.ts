/**
 * Limits the tool output that OpenCode stores. OpenCode 1.18.33 shows the model a part of it and writes all of it to a file
 * (`tool-output` in its data folder), for a week and without a limit. One `yes` would fill the disk, and every later snapshot.
 */
import { closeSync, constants, fstatSync, ftruncateSync } from "node:fs";
import { type FolderPlace, OpenFolder } from "../files/open-folder.ts";

export interface ToolOutputOptions {
  readonly folder: FolderPlace;
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
export function toolOutputFolder(env: Readonly<Record<string, string | undefined>>): FolderPlace | undefined {
  const { XDG_DATA_HOME: data, HOME: home } = env;
  const names = ["opencode", "tool-output"];
  if (data) return { root: data, names };
  return home ? { root: home, names: [".local", "share", ...names] } : undefined;
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

function sweep(place: FolderPlace, maxBytes: number): void {
  try {
    OpenFolder.use(place, (folder) => sweepFolder(folder, maxBytes));
  } catch {
    // The folder does not exist yet, there is something else in its place, or a file was just deleted.
  }
}

function sweepFolder(folder: OpenFolder, maxBytes: number): void {
  let left = maxBytes;
  for (const { name, bytes, isNewest } of filesIn(folder)) {
    try {
      if (bytes <= left) left -= bytes;
      else if (isNewest) {
        truncate(folder, name, left);
        left = 0;
      } else folder.removeFile(name);
    } catch {
      // The file was just deleted, or cannot be changed. The next check tries again.
    }
  }
}

/** Returns the files with their size on disk, newest first. */
function filesIn(folder: OpenFolder) {
  const files = folder
    .entries()
    .filter((entry) => entry.isFile() && NAME.test(entry.name))
    .flatMap(({ name }) => {
      const stat = folder.stat(name);
      return stat?.isFile() ? [{ name, stat }] : [];
    })
    .sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
  return files.map(({ name, stat }, index) => ({ name, bytes: 512 * stat.blocks, isNewest: index === 0 }));
}

/** Shortens the file that is there now, unless it has another name, too: then it may not be OpenCode's. */
function truncate(folder: OpenFolder, name: string, bytes: number): void {
  const file = folder.file(name, constants.O_WRONLY);
  try {
    const { nlink, size } = fstatSync(file);
    if (nlink === 1 && size > bytes) ftruncateSync(file, bytes);
  } finally {
    closeSync(file);
  }
}
