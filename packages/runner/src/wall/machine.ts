/** What of this machine's files the arguments for a wall depend on. */
import { readlinkSync, realpathSync } from "node:fs";
import type { Machine } from "./mounts.ts";

export const MACHINE: Machine = {
  linkTarget: (path) => unlessMissing(() => readlinkSync(path)),
  realPath: (path) => unlessMissing(() => realpathSync(path)),
};

function unlessMissing(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
