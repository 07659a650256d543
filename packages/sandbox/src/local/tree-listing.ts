/** Lists a folder's content with find(1), which works at any depth since it changes into each folder. */
import type { CommandOptions } from "./command.ts";
import { runTool } from "./tool.ts";

export interface TreeEntry {
  /** 1 for entries of the folder itself. */
  readonly depth: number;
  /** As find(1) names it (`d`, `f`, `l`, `s`, `p`, `b`, `c`); `U` for an unreadable entry. */
  readonly type: string;
  readonly mode: number;
  /** The entry's own name, in bytes. */
  readonly name: Buffer;
}

const UNREADABLE = ["!", "-type", "l", "!", "-readable", "-printf", "%d U %m %f\\0"];
const READABLE = ["-printf", "%d %y %m %f\\0"];

/**
 * Lists everything below a folder, each folder before its content. A folder that cannot be entered is listed without
 * its content.
 */
export async function listTree(
  path: string,
  onEntry: (entry: TreeEntry) => void,
  options: CommandOptions,
): Promise<void> {
  let rest = Buffer.alloc(0);
  const onOutput = (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, start)) {
      onEntry(parseEntry(bytes.subarray(start, end)));
      start = end + 1;
    }
    rest = Buffer.from(bytes.subarray(start));
  };
  const expression = ["(", ...UNREADABLE, ")", "-o", "(", ...READABLE, ")"];
  const code = await runTool("find", [".", "-mindepth", "1", ...expression], { ...options, cwd: path, onOutput });
  // 1: a folder could not be entered, and is listed as such.
  if (code !== 0 && code !== 1) throw new Error(`find ended with ${code}`);
}

function parseEntry(bytes: Buffer): TreeEntry {
  const depthEnd = bytes.indexOf(" ");
  const modeEnd = bytes.indexOf(" ", depthEnd + 3);
  return {
    depth: Number(bytes.toString("latin1", 0, depthEnd)),
    type: bytes.toString("latin1", depthEnd + 1, depthEnd + 2),
    mode: Number.parseInt(bytes.toString("latin1", depthEnd + 3, modeEnd), 8),
    name: Buffer.from(bytes.subarray(modeEnd + 1)),
  };
}

/** An entry that the copy lacks, or has with another mode. The content of a missing folder is not listed. */
export interface Difference {
  readonly kind: "missing" | "mode";
  /** The names on the way to it, its own last. */
  readonly names: readonly Buffer[];
  readonly type: string;
  /** The mode in the original. */
  readonly mode: number;
}

/** Compares the names, types and modes of a tree and its copy. */
export async function compareTrees(from: string, to: string, options: CommandOptions): Promise<Difference[]> {
  const copied = new Map<string, { readonly id: number; readonly entry: TreeEntry }>();
  const idsAt: number[] = [0];
  let lastId = 0;
  await listTree(
    to,
    (entry) => {
      const id = ++lastId;
      idsAt[entry.depth] = id;
      copied.set(keyOf(idsAt[entry.depth - 1] ?? 0, entry.name), { id, entry });
    },
    options,
  );
  const differences: Difference[] = [];
  /** The copies of the folders on the way to the current entry. */
  const path: { readonly id: number | undefined; readonly name: Buffer }[] = [];
  await listTree(
    from,
    (entry) => {
      path.length = entry.depth - 1;
      const parent = entry.depth === 1 ? 0 : path.at(-1)?.id;
      const copy = parent === undefined ? undefined : copied.get(keyOf(parent, entry.name));
      const isCopied = copy !== undefined && entry.type !== "U" && copy.entry.type === entry.type;
      path.push({ id: isCopied ? copy.id : undefined, name: entry.name });
      if (parent === undefined) return;
      const report = (kind: Difference["kind"]) =>
        differences.push({ kind, names: path.map(({ name }) => name), type: entry.type, mode: entry.mode });
      if (!isCopied) report("missing");
      else if (entry.type !== "l" && copy.entry.mode !== entry.mode) report("mode");
    },
    options,
  );
  return differences;
}

function keyOf(parentId: number, name: Buffer): string {
  return `${parentId}/${name.toString("latin1")}`;
}
