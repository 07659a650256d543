import { lstatSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { makePrivateDirectory, requireUnshared } from "@valet/sandbox";
import { creationText } from "../creation-error.ts";
import { UserError } from "../errors.ts";

/** The role under which `up` locks its state directory. */
export const UP_ROLE = "valet-up";

export interface StateDirectory {
  readonly path: string;
  /** The sandbox broker's directory. */
  readonly broker: string;
  /** The directory of the Worker's databases. */
  readonly storage: string;
  /** The directory of Miniflare's temporary files. The next start deletes what a killed `up` left. */
  readonly temporary: string;
  /** Where the page is built, if its own package cannot be written. */
  readonly page: string;
  /** The log file: every line of the Worker and of workerd. */
  readonly workerLog: string;
}

/**
 * Creates or opens the state directory. Only its owner can read it: it holds tokens and the agents' work.
 * @throws UserError when the directory cannot be used
 */
export function openStateDirectory(path: string): StateDirectory {
  try {
    return stateDirectoryAt(makePrivateDirectory(resolve(path)));
  } catch (error) {
    throw unusable(path, error);
  }
}

/**
 * Returns the state directory, or the nearest folder above it that exists, and touches nothing.
 * @throws UserError when {@link openStateDirectory} would refuse the path, whoever may write there
 */
export function nearestFolder(path: string): string {
  try {
    const nearest = existingFolder(resolve(path));
    if (nearest === resolve(path)) requireUnshared(nearest);
    return nearest;
  } catch (error) {
    throw unusable(path, error);
  }
}

/** @throws the system's error, that of creating a folder at the path */
function existingFolder(path: string): string {
  try {
    if (statSync(path).isDirectory()) return path;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["ENOENT", "ENOTDIR"].includes(code)) throw error;
    const isLink = code === "ENOENT" && lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    if (!isLink && dirname(path) !== path) return existingFolder(dirname(path));
  }
  throw Object.assign(new Error("a folder cannot be created there"), { code: "EEXIST", path });
}

/** Returns the error to report where the state directory cannot be opened. */
export function unusable(path: string, error: unknown): UserError {
  const why = creationText(path, error, "Name another one with --state.") ?? (error as Error).message;
  return new UserError(`The state directory cannot be used: ${why}`);
}

/** Returns the places in the state directory at a path, and touches nothing. */
export function stateDirectoryAt(path: string): StateDirectory {
  return {
    path,
    broker: join(path, "broker"),
    storage: join(path, "storage"),
    temporary: join(path, "miniflare"),
    page: join(path, "page"),
    workerLog: join(path, "log", "worker.log"),
  };
}
