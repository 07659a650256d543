/**
 * SQLite files of the runner. Once a statement has returned, its effect survives the process; only a checkpoint waits for the
 * disk (`synchronous = NORMAL`), and the creation of a file does not. A statement that fails on a full disk leaves the file
 * unchanged.
 */
import { Database } from "bun:sqlite";
import { lstatSync, rmSync } from "node:fs";

/** The suffixes of the files that SQLite keeps next to an open database, and next to one whose process was killed. */
export const SIDE_FILES = ["-wal", "-shm", "-journal"];

/**
 * Opens or creates a database file, with its tables.
 * @param schema idempotent statements
 * @throws errors of SQLite or the file system, if the file cannot be created or is not a database
 */
export function openSqliteFile(path: string, schema: string): Database {
  for (const suffix of ["", ...SIDE_FILES]) {
    // Opening a named pipe, for example, would block.
    if (lstatSync(path + suffix, { throwIfNoEntry: false })?.isFile() === false) throw new Error("not a regular file");
  }
  const isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
  const database = new Database(path, { create: true, strict: true });
  try {
    // A runner that is still ending may have it open.
    database.run("PRAGMA busy_timeout = 1000");
    // The start of a session does not wait for the disk: a new file holds nothing that a crash of the machine could lose.
    database.run(`PRAGMA synchronous = ${isNew ? "OFF" : "NORMAL"}`);
    database.run("PRAGMA journal_mode = WAL");
    // Deleted rows may hold content, so SQLite overwrites them.
    database.run("PRAGMA secure_delete = ON");
    database.run(schema);
    database.run("PRAGMA synchronous = NORMAL");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Removes a database file and SQLite's files next to it. */
export function removeSqliteFile(path: string): void {
  for (const suffix of ["", ...SIDE_FILES]) rmSync(path + suffix, { force: true });
}

/** Returns the time of the last write to a database, epoch ms; 0 if there is no file. */
export function lastWriteOf(path: string): number {
  const times = ["", "-wal"].map((suffix) => lstatSync(path + suffix, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return Math.max(...times);
}
