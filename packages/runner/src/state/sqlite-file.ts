/**
 * SQLite files of the runner. Each statement is durable against the end of the process once it has returned; only a checkpoint
 * waits for the disk (`synchronous = NORMAL`). A statement that a full disk refuses leaves the file as it was.
 */
import { Database } from "bun:sqlite";
import { lstatSync, rmSync } from "node:fs";

/** What SQLite keeps beside a file while it is open, and after its process was killed. */
export const SIDE_FILES = ["-wal", "-shm", "-journal"];

/**
 * Opens a file, or makes it, and makes its tables where there are none.
 * @param schema statements that may be run again
 * @throws what SQLite or the file system says: the file cannot be made or is no database
 */
export function openSqliteFile(path: string, schema: string): Database {
  for (const suffix of ["", ...SIDE_FILES]) {
    // A named pipe, say, would be waited for.
    if (lstatSync(path + suffix, { throwIfNoEntry: false })?.isFile() === false) throw new Error("not a regular file");
  }
  const database = new Database(path, { create: true, strict: true });
  try {
    // A runner that is just ending may have it open.
    database.run("PRAGMA busy_timeout = 1000");
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    // What is deleted holds content: it is overwritten.
    database.run("PRAGMA secure_delete = ON");
    database.run(schema);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Removes a file with all that SQLite keeps beside it. */
export function removeSqliteFile(path: string): void {
  for (const suffix of ["", ...SIDE_FILES]) rmSync(path + suffix, { force: true });
}

/** Returns when a file was last written to, epoch ms, whoever has it open; 0 where there is none. */
export function lastWriteOf(path: string): number {
  const times = ["", "-wal"].map((suffix) => lstatSync(path + suffix, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return Math.max(...times);
}
