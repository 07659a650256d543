import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { UserError } from "../errors.ts";
import { type DiskSpace, diskSpace, lackOfSpace } from "./disk-space.ts";
import { nearestFolder, type StateDirectory, stateDirectoryAt, unusable } from "./state-directory.ts";

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
const FORBIDDEN: readonly string[] = ["EROFS", "EACCES", "EPERM"];

/**
 * Refuses a state directory whose disk has no room for the databases: the system would start, and fail every request.
 * @param space what is left of its disk
 * @throws UserError
 */
export function requireSpace(stateDir: string, space: DiskSpace | undefined = spaceOf(stateDir)): void {
  if (space !== undefined && lackOfSpace(space) === "full") throw fullDisk(stateDir);
}

/** What `up` and the processes that it starts write to in a state directory, by whether it is a folder. */
const KINDS = {
  folder: ["broker", "storage", "log", "miniflare"],
  file: ["format.json", "secrets.json", "connection.json", "worker.lock", join("log", "worker.log")],
} as const;

/**
 * Refuses a state directory in which something of another kind is in the way: some of those who write there would only log it, or
 * fail without naming it.
 * @throws UserError
 */
export function requireKinds(stateDir: string): void {
  for (const [kind, names] of Object.entries(KINDS)) {
    for (const name of names) {
      const path = join(stateDir, name);
      const found = statSync(path, { throwIfNoEntry: false });
      if (found === undefined || found.isDirectory() === (kind === "folder")) continue;
      throw new UserError(
        `The state directory cannot be used: ${path} must be a ${kind}. Move what is there away, or name another one with --state.`,
      );
    }
  }
}

/**
 * Refuses a state directory in which something cannot be written, on a read-only file system or because it is another user's, as
 * after `up` ran as root or a backup was copied back: databases would fail with errors that do not name the file.
 * @throws UserError
 */
export function requireWritable(state: StateDirectory): void {
  for (const path of writtenPaths(state)) {
    const code = codeOf(() => accessSync(path, constants.W_OK));
    if (code !== undefined && FORBIDDEN.includes(code)) throw readOnly(state.path, path, code);
  }
}

/** Returns why `up` cannot write to a state directory, which need not exist yet; `undefined` if it can. Touches nothing. */
export function writingProblem(stateDir: string): string | undefined {
  const path = resolve(stateDir);
  try {
    const nearest = nearestFolder(path);
    if (nearest === path) requireKinds(path);
    requireWritable(stateDirectoryAt(path));
    const code = codeOf(() => accessSync(nearest, constants.W_OK | constants.X_OK));
    return code !== undefined && FORBIDDEN.includes(code) ? readOnly(path, nearest, code).message : undefined;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return (diskError(path, error) ?? unusable(path, error)).message;
  }
}

/** Returns what the Worker and the broker write to, but for the sandboxes' own files. */
function* writtenPaths({ path, broker, storage, workerLog }: StateDirectory): Generator<string> {
  yield* treeOf(path, 1);
  yield* treeOf(broker, 1);
  yield* treeOf(dirname(workerLog), 1);
  yield* treeOf(storage, Number.POSITIVE_INFINITY);
}

/** Returns a path and what is in it, down to a depth. */
function* treeOf(path: string, depth: number): Generator<string> {
  yield path;
  if (depth === 0) return;
  for (const entry of entriesOf(path)) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) yield* treeOf(inside, depth - 1);
    else yield inside;
  }
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    // What is not there yet will be created; what cannot be read is found by its access.
    return [];
  }
}

/** Returns the code of the system error that `act` throws; `undefined` if it throws none. */
function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/**
 * Returns the error to report for a failed start when the state directory's disk was the cause; `undefined` otherwise.
 * The databases' own errors do not name the disk.
 */
export function diskError(stateDir: string, error: unknown): UserError | undefined {
  if (error instanceof UserError) return undefined;
  const { code = "", path } = error as NodeJS.ErrnoException;
  const space = spaceOf(stateDir);
  if (FULL.includes(code) || (space !== undefined && lackOfSpace(space) === "full")) return fullDisk(stateDir);
  if (!FORBIDDEN.includes(code) || !path?.startsWith(stateDir)) return undefined;
  return readOnly(stateDir, path, code);
}

function readOnly(stateDir: string, path: string, code: string): UserError {
  const why = code === "EROFS" ? "its file system is read-only" : "this user may not write to it";
  return new UserError(
    `The state directory ${stateDir} cannot be written to: ${path}: ${why} (${code}). Change that, or name another one with --state.`,
  );
}

function fullDisk(stateDir: string): UserError {
  return new UserError(
    `The disk of the state directory ${stateDir} is full. Make room, or name another one with --state.`,
  );
}

/** Returns what is left of the directory's disk; `undefined` if the disk cannot be queried. */
function spaceOf(stateDir: string): DiskSpace | undefined {
  try {
    return diskSpace(stateDir);
  } catch {
    return undefined;
  }
}
