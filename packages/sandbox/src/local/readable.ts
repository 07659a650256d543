/** Makes files that their owner may not read readable during a copy, and restores their modes afterwards. */
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
 * Lets the owner read everything below a folder that the broker owns. Widens a folder before listing it.
 * @returns the changes for {@link restoreModes}, each folder before its content
 */
export async function makeReadable(path: string, options: CommandOptions): Promise<WidenedMode[]> {
  const chunks: Buffer[] = [];
  const args = [".", "-mindepth", "1", "(", ...FOLDERS, ")", "-o", "(", ...FILES, ")"];
  // Another user's files cannot be widened; the copy reports them.
  await runTool("find", args, { ...options, cwd: path, onOutput: (chunk) => chunks.push(chunk) });
  const output = Buffer.concat(chunks);
  const widened: WidenedMode[] = [];
  for (let start = 0, end = output.indexOf(0); end >= 0; end = output.indexOf(0, start)) {
    widened.push(parseWidened(output.subarray(start, end)));
    start = end + 1;
  }
  return widened;
}

/** Restores widened modes, in the tree itself or in a copy of it. Skips what does not exist. */
export function restoreModes(path: string, widened: readonly WidenedMode[]): void {
  // In reverse order: a folder's own mode may lock the broker out of its content.
  for (const { names, mode } of widened.toReversed()) setMode(path, names, mode);
}

/** Sets the mode of the entry at these names below a folder, if it exists and the broker owns it. */
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
