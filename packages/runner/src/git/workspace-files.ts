/**
 * Decides what a snapshot knows of each file that differs from the repository's index: its content, or only its name. Where more files
 * changed since the snapshot before than the limits of one turn allow, that turn's changes are unknown. Its files are in the snapshot by
 * their names then, and stay so until they change: otherwise each later snapshot would be beyond the limits, too.
 */
import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { access, lstat, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CHANGES_LIMITS } from "@valet/shared/protocol/changes";
import { type Candidate, splitNul } from "./parse-changes.ts";

/** Files that were beyond the limits of their turn: their paths as latin1, with the ids that they have in the tree. */
export type UnreadFiles = ReadonlyMap<string, string>;

export interface SortOptions {
  readonly workspace: string;
  readonly format: "sha1" | "sha256";
  /** Those of the snapshot before. */
  readonly unread: UnreadFiles;
  readonly signal: AbortSignal;
}

export interface SortedFiles {
  /** Lines for `git update-index --index-info`. */
  readonly links: Buffer[];
  /** Paths of files that git reads. */
  readonly hashed: Buffer[];
  readonly unread: UnreadFiles;
  /** Whether more changed since the snapshot before than the limits of one turn allow. */
  readonly isTooLarge: boolean;
}

/** How many files are looked at before other work of this process has its turn. */
const SLICE = 500;
const UNREAD_FILE = "unread";
const ID_LENGTHS = { sha1: 40, sha256: 64 } as const;

/**
 * @param tracked files that do not differ from the index, but may be among `unread`, since they were committed meanwhile
 * @throws the signal's reason
 */
export async function sortFiles(
  candidates: readonly Candidate[],
  tracked: readonly Buffer[],
  { workspace, format, unread, signal }: SortOptions,
): Promise<SortedFiles> {
  const links: Buffer[] = [];
  const hashed: Buffer[] = [];
  const toRead: { readonly path: Buffer; readonly stats: Stats }[] = [];
  const stillUnread = new Map<string, string>();
  let bytes = 0;
  const idOf = (what: string) => createHash(format).update(what).digest("hex");
  const link = (path: Buffer, id: string) => {
    links.push(Buffer.from(`160000 ${id}\t`), path, NUL);
  };
  const keepUnread = (path: Buffer, id: string) => {
    link(path, id);
    stillUnread.set(path.toString("latin1"), id);
  };
  const root = Buffer.from(`${workspace}/`);
  const look = async ({ path, isLink }: Candidate, isTracked: boolean) => {
    const full = Buffer.concat([root, path]);
    const stats = await lstat(full).catch(() => undefined);
    const unreadId = unread.get(path.toString("latin1"));
    if (stats !== undefined && unreadId !== undefined && unreadId === idOf(identityOf(stats)))
      keepUnread(path, unreadId);
    else if (isTracked) return;
    else if (stats?.isDirectory() && isLink) hashed.push(path);
    else if (stats?.isDirectory() && path.at(-1) === SLASH) link(path.subarray(0, -1), idOf("repository"));
    else if (
      stats?.isSymbolicLink() ||
      (stats?.isFile() && stats.size <= CHANGES_LIMITS.fileBytes && (await isReadable(full)))
    ) {
      bytes += stats.size;
      toRead.push({ path, stats });
    } else if (stats?.isFile()) link(path, idOf(identityOf(stats)));
    else links.push(Buffer.from(`0 ${"0".repeat(ID_LENGTHS[format])}\t`), path, NUL);
  };
  const changed = new Set(unread.size === 0 ? [] : candidates.map(({ path }) => path.toString("latin1")));
  const committed = tracked.filter((path) => isIn(unread, path) && !isIn(changed, path));
  await inSlices(candidates, signal, (candidate) => look(candidate, false));
  await inSlices(committed, signal, (path) => look({ path, isLink: false }, true));
  const isTooLarge = toRead.length > CHANGES_LIMITS.candidates || bytes > CHANGES_LIMITS.candidateBytes;
  for (const { path, stats } of toRead) {
    if (isTooLarge) keepUnread(path, idOf(identityOf(stats)));
    else hashed.push(path);
  }
  return { links, hashed, unread: stillUnread, isTooLarge };
}

/** Returns the files of a snapshot that were beyond the limits; none if its folder does not say so. */
export async function readUnread(folder: string): Promise<UnreadFiles> {
  const content = await readFile(join(folder, UNREAD_FILE)).catch(() => Buffer.alloc(0));
  return new Map(
    splitNul(content).map((item) => {
      const tab = item.indexOf(TAB);
      return [item.toString("latin1", tab + 1), item.toString("latin1", 0, tab)];
    }),
  );
}

/** @throws errors of the file system */
export async function writeUnread(folder: string, unread: UnreadFiles): Promise<void> {
  if (unread.size === 0) return;
  const items = [...unread].map(([path, id]) => `${id}\t${path}\0`);
  await writeFile(join(folder, UNREAD_FILE), items.join(""), { encoding: "latin1", mode: 0o600 });
}

async function inSlices<T>(items: readonly T[], signal: AbortSignal, work: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += SLICE) {
    signal.throwIfAborted();
    await Promise.all(items.slice(at, at + SLICE).map(work));
  }
}

const NUL = Buffer.from([0]);
const SLASH = "/".charCodeAt(0);
const TAB = "\t".charCodeAt(0);

function isIn(paths: { has(path: string): boolean }, path: Buffer): boolean {
  return paths.has(path.toString("latin1"));
}

function identityOf({ size, mtimeMs }: Stats): string {
  return `${size} ${mtimeMs}`;
}

async function isReadable(path: Buffer): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
