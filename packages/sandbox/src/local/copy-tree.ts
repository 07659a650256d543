/**
 * Copies folders exactly: links as links, modes, times, extended attributes, holes. Shares disk blocks if the file
 * system can. cp(1) does the copying; a comparison then finds what it missed. Entries whose paths are too long are
 * copied from a folder closer to them, differing modes are set again, and the rest is reported.
 */
import { chmodSync, closeSync, lstatSync, mkdirSync, readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { CommandOptions } from "./command.ts";
import { MAX_PATH_BYTES, openFolder, pathOf } from "./folder-handle.ts";
import { makeReadable, restoreModes, setMode } from "./readable.ts";
import { runTool } from "./tool.ts";
import { compareTrees, type Difference } from "./tree-listing.ts";

/** An entry that the copy lacks. */
export interface LeftOut {
  /** `special`: a socket or device, of no use to a later process; `unreadable`: another user's. */
  readonly why: "special" | "unreadable";
  readonly path: string;
}

export interface Copied {
  readonly leftOut: readonly LeftOut[];
  readonly sizeBytes: number;
}

/** The special types, as find(1) names them. */
const SPECIAL = ["s", "b", "c"];
/** More processes than cores, since each also waits for the disk. */
const PARALLEL = ["--max-procs=4", "--max-args=16"];
/** The permissions that a folder's owner needs to copy it. */
const OWNER_READS = 0o500;
const COPY = ["cp", "--archive", "--reflink=auto", "--target-directory=/proc/self/fd/3", "--"];
/** Errors of cp(1) about a single entry, which the comparison finds. Any other error makes the copy useless. */
const OF_ONE_ENTRY = /: (?:Permission denied|Operation not permitted|File name too long)$/;
/** The maximum length of {@link pathOf}. */
const HANDLE_BYTES = 32;

/**
 * Copies these folders from `from` to `to`, where they must not exist. Nothing may change them during the copy. Files
 * that their owner may not read are made readable meanwhile.
 * @throws Error, without file names, when the copy lacks something for a reason that {@link LeftOut} does not have
 */
export async function copyFolders(
  from: string,
  to: string,
  folders: readonly string[],
  options: CommandOptions,
): Promise<Copied> {
  const restore: (() => void)[] = [];
  try {
    const modes = [];
    for (const folder of folders) modes.push(await widen(join(from, folder), restore, options));
    await copyAtOnce(from, to, folders, options);
    const lacking: LeftOut[] = [];
    for (const folder of folders) {
      const differences = await complete(join(from, folder), join(to, folder), options);
      lacking.push(...differences.map((each) => leftOut(folder, each)));
    }
    const sizeBytes = await measure(to, folders, options);
    for (const [index, folder] of folders.entries()) modes[index]?.(join(to, folder));
    return { leftOut: lacking, sizeBytes };
  } finally {
    for (const each of restore) each();
  }
}

/**
 * Makes a folder readable. @returns a function that gives a copy the original modes and times; functions that restore
 * the original are added to `restore`
 */
async function widen(
  folder: string,
  restore: (() => void)[],
  options: CommandOptions,
): Promise<(copy: string) => void> {
  const { mode, atime, mtime } = lstatSync(folder);
  if ((mode & OWNER_READS) !== OWNER_READS) {
    chmodSync(folder, mode | OWNER_READS);
    restore.push(() => chmodSync(folder, mode));
  }
  const widened = await makeReadable(folder, options);
  restore.unshift(() => restoreModes(folder, widened));
  return (copy) => {
    restoreModes(copy, widened);
    utimesSync(copy, atime, mtime);
    chmodSync(copy, mode);
  };
}

/**
 * One process must see all hard links of a file to preserve them; without hard links, several processes share the work.
 */
async function copyAtOnce(
  from: string,
  to: string,
  folders: readonly string[],
  options: CommandOptions,
): Promise<void> {
  for (const folder of folders) {
    if (await hasHardLinks(join(from, folder), options)) {
      return copyEntries(
        from,
        to,
        [],
        folders.map((name) => Buffer.from(name)),
        [],
        options,
      );
    }
  }
  for (const folder of folders) {
    mkdirSync(join(to, folder));
    const names = readdirSync(join(from, folder), { encoding: "buffer" });
    await copyEntries(join(from, folder), join(to, folder), [], names, PARALLEL, options);
  }
}

async function hasHardLinks(folder: string, options: CommandOptions): Promise<boolean> {
  let isFound = false;
  const onOutput = () => {
    isFound = true;
  };
  await runTool("find", [".", "-type", "f", "-links", "+1", "-printf", "x", "-quit"], {
    ...options,
    cwd: folder,
    onOutput,
  });
  return isFound;
}

/** Copies entries that were too deep, round by round, and sets modes that differ. @returns what is still missing */
async function complete(from: string, to: string, options: CommandOptions): Promise<Difference[]> {
  for (let before = 0; ; ) {
    await runTool("find", [".", "-type", SPECIAL.join(","), "-delete"], { ...options, cwd: to });
    const differences = await compareTrees(from, to, options);
    for (const { kind, names, mode } of differences) if (kind === "mode") setMode(to, names, mode);
    const missing = differences.filter(({ kind }) => kind === "missing");
    const deep = missing.filter((each) => isTooLong(each, from, to));
    if (deep.length === 0) return missing;
    const depth = Math.max(...deep.map(({ names }) => names.length));
    if (depth <= before) throw new Error("a path is too long to be copied");
    before = depth;
    const siblings = Map.groupBy(deep, ({ names }) => names.slice(0, -1).join("/"));
    for (const entries of siblings.values()) {
      const parents = entries[0]?.names.slice(0, -1) ?? [];
      const names = entries.flatMap(({ names }) => names.at(-1) ?? []);
      await copyEntries(from, to, parents, names, [], options);
    }
  }
}

/** Returns whether the path was too long for cp(1). */
function isTooLong({ type, names }: Difference, from: string, to: string): boolean {
  const bytes = names.reduce((sum, name) => sum + name.length + 1, Math.max(from.length, to.length, HANDLE_BYTES));
  return bytes > MAX_PATH_BYTES && type !== "U" && !SPECIAL.includes(type);
}

/** Copies entries of the folder `parents` below `from` to the same place below `to`. */
async function copyEntries(
  from: string,
  to: string,
  parents: readonly Buffer[],
  names: readonly Buffer[],
  sharing: readonly string[],
  options: CommandOptions,
): Promise<void> {
  const source = openFolder(from, parents);
  const target = openFolder(to, parents);
  const problems: string[] = [];
  try {
    const code = await runTool("xargs", ["--null", "--no-run-if-empty", ...sharing, ...COPY], {
      ...options,
      cwd: pathOf(source),
      input: Buffer.concat(names.flatMap((name) => [name, Buffer.of(0)])),
      descriptors: [target],
      onErrorLine: (line) => {
        // The rest of the line may name a file.
        if (!OF_ONE_ENTRY.test(line) && problems.length === 0)
          problems.push(/: ([\w ]+)$/.exec(line)?.[1] ?? "unknown error");
      },
    });
    // xargs exits with 123 when a cp(1) failed; its error lines say why.
    if (code !== 0 && code !== 123) problems.push(`cp ended with ${code}`);
  } finally {
    closeSync(source);
    closeSync(target);
  }
  if (problems[0] !== undefined) throw new Error(`files could not be copied: ${problems[0].toLowerCase()}`);
}

async function measure(path: string, folders: readonly string[], options: CommandOptions): Promise<number> {
  let output = "";
  const onOutput = (chunk: Buffer) => {
    output += chunk.toString();
  };
  const code = await runTool("du", ["--summarize", "--total", "--bytes", "--", ...folders], {
    ...options,
    cwd: path,
    onOutput,
  });
  if (code !== 0) throw new Error(`du ended with ${code}`);
  return Number.parseInt(output.trimEnd().split("\n").at(-1) ?? "", 10);
}

function leftOut(folder: string, { names, type }: Difference): LeftOut {
  return { why: SPECIAL.includes(type) ? "special" : "unreadable", path: [folder, ...names].join("/") };
}
