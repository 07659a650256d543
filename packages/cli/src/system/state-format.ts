/**
 * The format of a state directory: the names of its files and their contents. The number increases when a change makes
 * a directory unreadable for older versions, or when opening an older directory takes a migration. The objects'
 * databases have schemas of their own, of which a version refuses those that are newer than itself: each migration of
 * theirs increases the number, so that an older `up` says so before it starts, and not each of its sessions. Migrations
 * of D1 do not count: each leaves it usable for the version before.
 *
 * | format | written by |
 * | --- | --- |
 * | 0 | versions that wrote no `format.json`; opened as it is |
 * | 1 | versions with `format.json` whose sessions' databases have no schema version; opened as it is |
 * | 2 | versions whose sessions' databases have a schema up to 17 |
 * | 3 | this version: sessions' databases have schema 17, that of capacity has schema 1. From here on each schema has a format |
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJson, writeJson } from "./json-file.ts";

/** The format that this version writes. */
export const STATE_FORMAT = 3;

const FILE = "format.json";
const Format = z.object({ format: z.int().positive() });

/**
 * Returns the format of a state directory; `undefined` for a new directory.
 * @throws UserError when its file cannot be read
 */
function readFormat(path: string): number | undefined {
  const file = join(path, FILE);
  if (!existsSync(file)) return existsSync(join(path, "secrets.json")) ? 0 : undefined;
  const format = readJson(file, Format)?.format;
  if (format === undefined) {
    throw new UserError(
      `${file} cannot be read. Restore it from a backup, or use another state directory with --state.`,
    );
  }
  return format;
}

/**
 * Returns the format of a state directory that this version can open.
 * @throws UserError when a newer version wrote it, or when its format is unknown
 */
export function openableFormat(path: string): number | undefined {
  const found = readFormat(path);
  if (found !== undefined && found > STATE_FORMAT) {
    throw new UserError(
      `A newer version of Valet wrote ${path} (format ${found}; this version reads up to ${STATE_FORMAT}). ` +
        "Use that version, or another state directory with --state.",
    );
  }
  return found;
}

/**
 * Migrates a state directory to this version's format. The caller must hold the directory's lock.
 * @throws UserError as {@link openableFormat}
 */
export function upgradeState(path: string): void {
  const found = openableFormat(path);
  // Format 0 recorded its Worker's process here; this version finds the process by its environment.
  if (found === 0) rmSync(join(path, "workerd.json"), { force: true });
  if (found !== STATE_FORMAT) writeJson(join(path, FILE), { format: STATE_FORMAT });
}
