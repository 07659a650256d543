import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { createWorkerLog } from "./worker-log.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "valet-worker-log-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Waits until `check` no longer throws, also on a busy machine. */
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 10_000 });

test("the file has every line, and the terminal says once where the file is", async () => {
  const path = join(folder(), "log", "worker.log");
  const shown: string[] = [];
  const log = createWorkerLog(path, (line) => shown.push(line));
  const failure = JSON.stringify({
    message: "a request failed",
    error: "TypeError",
    at: ["    at work (index.js:1:1)"],
  });
  for (const line of ["NOSENTRY noise", failure, failure, "unknown\nand its rest"]) log(line);
  await eventually(() => expect(readFileSync(path, "utf8")).toContain("and its rest"));
  const kept = readFileSync(path, "utf8");
  expect(kept).toContain("NOSENTRY noise\n");
  expect(kept.split(failure)).toHaveLength(3);
  await eventually(() => expect(shown).toContain(`Details are in ${path}.`));
  expect(shown.filter((line) => line.startsWith("Details"))).toHaveLength(1);
  expect(shown.filter((line) => line.includes("NOSENTRY"))).toEqual([]);
  expect(shown).toContain("unknown");
});

test("a line that cannot be written to the file is shown whole", async () => {
  const taken = join(folder(), "file");
  writeFileSync(taken, "");
  const shown: string[] = [];
  const log = createWorkerLog(join(taken, "log", "worker.log"), (line) => shown.push(line));
  log("unknown\nand its rest");
  await eventually(() => expect(shown).toEqual(["unknown", "unknown\nand its rest"]));
});

test("a full disk is reported once a minute, however many requests fail because of it", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const shown: string[] = [];
  const log = createWorkerLog(join(folder(), "worker.log"), (line) => shown.push(line));
  const refused = JSON.stringify({
    message: "a request was refused because the disk or the database is full",
    error: "Error",
    at: [],
  });
  const lines = ["e = workerd/util/sqlite.c++:1827: failed: SQLite failed; SQLITE_FULL", refused];
  for (let i = 0; i < 10; i++) lines.forEach(log);
  const sentences = [/disk of the state directory is full/, /request was refused because the disk/].map((each) =>
    expect.stringMatching(each),
  );
  const ours = () => shown.filter((line) => line.startsWith("The Worker"));
  expect(ours()).toEqual(sentences);
  vi.advanceTimersByTime(61_000);
  lines.forEach(log);
  expect(ours()).toEqual([...sentences, ...sentences]);
});

test("that the database lacks migrations is shown only if it still does when the start is over", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const shown: string[] = [];
  const log = createWorkerLog(join(folder(), "worker.log"), (line) => shown.push(line));
  const failed = JSON.stringify({ message: "a session failed", error: "Error", lacks: "migrations", at: [] });
  log(failed);
  expect(shown).toEqual([]);
  vi.advanceTimersByTime(61_000);
  log(failed);
  log(failed);
  expect(shown).toEqual([expect.stringContaining("lacks tables or columns")]);
});
