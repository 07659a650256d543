/** Modes of files that their owner may not read: widened for the time of a copy, then as they were. */
import { chmodSync } from "node:fs";
import type { CommandOptions } from "./command.ts";
import { pathIn, withFolder } from "./folder-handle.ts";
import { runTool } from "./tool.ts";

export interface WidenedMode {
  readonly names: readonly Buffer[];
  readonly mode: number;
}

const FOLDERS = ["-type", "d", "!", "-perm", "-u=rx", "-printf", "%m %P\\0", "-execdir", "chmod", "u+rwx", "{}", ";"];
const FILES = ["-type", "f", "!", "-perm", "-u=r", "-printf", "%m %P\\0", "-execdir", "chmod", "u+r", "{}", "+"];

/**
 * Lets the owner read everything below a folder, as far as it is the broker's own. Folders are widened before what is in them is
 * looked at.
 * @returns what {@link restoreModes} sets back, each folder before what is in it
 */
export async function makeReadable(path: string, options: CommandOptions): Promise<WidenedMode[]> {
  const chunks: Buffer[] = [];
  const args = [".", "-mindepth", "1", "(", ...FOLDERS, ")", "-o", "(", ...FILES, ")"];
  // What belongs to somebody else cannot be widened: the copy finds that out.
  await runTool("find", args, { ...options, cwd: path, onOutput: (chunk) => chunks.push(chunk) });
  const output = Buffer.concat(chunks);
  const widened: WidenedMode[] = [];
  for (let start = 0, end = output.indexOf(0); end >= 0; end = output.indexOf(0, start)) {
    widened.push(parseWidened(output.subarray(start, end)));
    start = end + 1;
  }
  return widened;
}

/** Gives what was widened its mode again, in the tree itself or in a copy of it. What is not there is skipped. */
export function restoreModes(path: string, widened: readonly WidenedMode[]): void {
  // A folder last: its mode may keep even us from what is in it.
  for (const { names, mode } of widened.toReversed()) setMode(path, names, mode);
}

/** Sets the mode of what lies these names below a folder, where it is there and the broker's own. */
export function setMode(path: string, names: readonly Buffer[], mode: number): void {
  const name = names.at(-1);
  if (name === undefined) return;
  try {
    withFolder(path, names.slice(0, -1), (folder) => chmodSync(pathIn(folder, name), mode));
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["ENOENT", "ENOTDIR", "ELOOP", "EPERM", "EACCES"].includes(code)) throw error;
  }
}

function parseWidened(bytes: Buffer): WidenedMode {
  const modeEnd = bytes.indexOf(" ");
  const names: Buffer[] = [];
  for (let start = modeEnd + 1; start <= bytes.length; ) {
    const slash = bytes.indexOf("/", start);
    const end = slash < 0 ? bytes.length : slash;
    names.push(Buffer.from(bytes.subarray(start, end)));
    start = end + 1;
  }
  return { names, mode: Number.parseInt(bytes.toString("latin1", 0, modeEnd), 8) };
}
