/**
 * Bounds what OpenCode keeps of its tools' output. It shows the model a part and writes all of it to a file (`tool-output` in its
 * data folder, 1.18.33), for a week and without a limit: one `yes` would fill the disk, and every snapshot after it.
 */
import { lstatSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";

export interface ToolOutputOptions {
  readonly folder: string;
  /** What all files may have together, and each of them; 32 MiB unless given. */
  readonly maxBytes?: number;
  /** How often it is looked at while tools run. */
  readonly intervalMs?: number;
}

const MAX_BYTES = 32 * 1024 * 1024;
const INTERVAL_MS = 1_000;
/** What OpenCode calls them. Nothing else is touched, whoever put it there. */
const NAME = /^tool_?\w+$/;

/** The folder, by the environment that OpenCode is started with; `undefined` where it has no home. */
export function toolOutputFolder(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { XDG_DATA_HOME: data, HOME: home } = env;
  if (data) return join(data, "opencode", "tool-output");
  return home ? join(home, ".local", "share", "opencode", "tool-output") : undefined;
}

/**
 * Keeps the newest files within the bound, at once and from time to time. A file that is being written and larger than all may be
 * loses its end; what is written to it later leaves a hole.
 * @returns what looks a last time and ends it
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
      // It has just gone, or is not ours to change: it is looked at again.
    }
  }
}

/** The newest first, by what they take of the disk. */
function filesIn(folder: string) {
  try {
    // A link leads to somebody else's files.
    if (!lstatSync(folder).isDirectory()) return [];
    const files = readdirSync(folder)
      .filter((name) => NAME.test(name))
      .map((name) => ({ path: join(folder, name), stat: lstatSync(join(folder, name)) }))
      .filter(({ stat }) => stat.isFile())
      .sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
    return files.map(({ path, stat }, index) => ({ path, bytes: 512 * stat.blocks, isNewest: index === 0 }));
  } catch {
    // There is none yet, or one has just gone.
    return [];
  }
}
