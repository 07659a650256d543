import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { readLeftLogs } from "../spans/span-log.ts";
import { Journal } from "./journal.ts";
import { openSqliteFile } from "./sqlite-file.ts";
import { JOURNAL_FILE } from "./state-folder.ts";

test("a new file and an existing one wait for the disk only at a checkpoint", () => {
  const path = join(temporaryFolder(), "file.db");
  const settings = () => {
    const database = openSqliteFile(path, "CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY) STRICT");
    const [journal] = database.query("PRAGMA journal_mode").values();
    const [synchronous] = database.query("PRAGMA synchronous").values();
    database.close();
    return [journal, synchronous];
  };
  const NORMAL = 1;
  expect(settings()).toEqual([["wal"], [NORMAL]]);
  expect(settings()).toEqual([["wal"], [NORMAL]]);
});

test("a full disk loses nothing written before, in memory or for the next runner", () => {
  const folder = temporaryFolder();
  const script = join(import.meta.dirname, "../../test/full-disk.ts");
  // Files cannot grow beyond 512 KiB. A larger write fails without killing the process.
  const command = `trap '' XFSZ; ulimit -f 512; exec "$0" "$1" "$2"`;
  const { stdout, signal } = spawnSync("bash", ["-c", command, process.execPath, script, folder], { encoding: "utf8" });
  expect(signal).toBe("SIGKILL");
  const { kept, promised } = JSON.parse(stdout) as { kept: string[]; promised: string[] };
  expect([kept.length, promised.length].every((count) => count > 10)).toBe(true);
  const [left] = readLeftLogs(join(folder, "spans"));
  const spans = left?.frames.flatMap((frame) => frame.spans.map(({ span }) => JSON.parse(span).name));
  expect(spans).toEqual(kept);
  const journal = new Journal(join(folder, JOURNAL_FILE), 1);
  expect(journal.running().map(({ attemptId }) => attemptId)).toEqual(promised);
  // The disk has space again.
  journal.accept("another");
  expect(new Journal(join(folder, JOURNAL_FILE), 1).stateOf("another")).toBe("running");
});
