import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { readLeftLogs } from "../spans/span-log.ts";
import { Journal } from "./journal.ts";
import { EARLIER_JOURNAL_FILE, JOURNAL_FILE, openStateFolder, REPOSITORY_FILE, SPANS_FOLDER } from "./state-folder.ts";

function open(path: string, earlierPath = join(path, "nothing")) {
  const problems: string[] = [];
  const opened = openStateFolder({ path, earlierPath, onProblem: (problem) => problems.push(problem) });
  // The runner does this next.
  const journal = new Journal(join(opened, JOURNAL_FILE), 1);
  journal.accept("att_1");
  journal.close();
  readLeftLogs(join(opened, SPANS_FOLDER));
  return { opened, problems };
}

test("creates a folder that only its owner may read, and leaves an existing one unchanged", () => {
  const path = join(temporaryFolder(), "deep/er");
  expect(open(path)).toEqual({ opened: path, problems: [] });
  expect(statSync(path).mode & 0o777).toBe(0o700);
  writeFileSync(join(path, REPOSITORY_FILE), "{}");
  writeFileSync(join(path, SPANS_FOLDER, "a.spans"), "1\t{}\n");
  expect(open(path)).toEqual({ opened: path, problems: [] });
  expect(readdirSync(path).sort()).toEqual([JOURNAL_FILE, REPOSITORY_FILE, SPANS_FOLDER, "taken-over"].sort());
});

const left: [string, (path: string) => void][] = [
  ["a folder", (path) => mkdirSync(join(path, "with/more"), { recursive: true })],
  ["a named pipe", (path) => void execFileSync("mkfifo", [path])],
  ["a link to nowhere", (path) => symlinkSync("/nowhere/at/all", path)],
  ["a link to a file", (path) => symlinkSync("/etc/passwd", path)],
  ["a device", (path) => symlinkSync("/dev/zero", path)],
  ["a file without an end", (path) => void execFileSync("truncate", ["--size=1T", path])],
];
const places = [
  JOURNAL_FILE,
  `${JOURNAL_FILE}-wal`,
  `${JOURNAL_FILE}-shm`,
  EARLIER_JOURNAL_FILE,
  REPOSITORY_FILE,
  `${SPANS_FOLDER}/a.spans`,
  `${SPANS_FOLDER}/a.sqlite`,
  `${SPANS_FOLDER}/a.sqlite-wal`,
  "taken-over",
];
test.each(places.flatMap((place) => left.map(([what, make]) => [what, place, make] as const)))(
  "%s in place of %s is set aside",
  (_, place, make) => {
    const path = join(temporaryFolder(), "state");
    mkdirSync(join(path, SPANS_FOLDER), { recursive: true });
    make(join(path, place));
    const { opened, problems } = open(path);
    expect(opened).toBe(path);
    expect(problems).toHaveLength(1);
    expect(readdirSync(path).filter((name) => name.startsWith("unusable-"))).toHaveLength(1);
    expect(open(path).problems).toEqual([]);
  },
);

test.each([
  ...left.filter(([what]) => what !== "a folder"),
  ["a file", (path: string) => writeFileSync(path, "")],
] as typeof left)("%s in place of the folder, or of the folder for spans, is set aside", (_, make) => {
  const path = join(temporaryFolder(), "state");
  make(path);
  expect(open(path)).toMatchObject({ opened: path, problems: [expect.any(String)] });
  const other = join(temporaryFolder(), "state");
  mkdirSync(other);
  make(join(other, SPANS_FOLDER));
  expect(open(other)).toMatchObject({ opened: other, problems: [expect.any(String)] });
});

test("if the folder cannot be created, this run uses another one", () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  const { opened, problems } = open(join(file, "state"));
  expect(existsSync(join(opened, JOURNAL_FILE))).toBe(true);
  expect(problems).toEqual([expect.stringContaining("ENOTDIR")]);
});

test("unacknowledged spans of an earlier version are moved from the agent's home, once", () => {
  const home = temporaryFolder();
  const earlier = join(home, ".valet-runner");
  mkdirSync(join(earlier, "spans"), { recursive: true });
  writeFileSync(join(earlier, "journal.jsonl"), "");
  writeFileSync(join(earlier, "spans/run-1.spans"), "1\t{}\n");
  symlinkSync("/etc/passwd", join(earlier, "spans/run-2.spans"));
  const path = join(temporaryFolder(), "state");
  expect(open(path, earlier).problems).toEqual([]);
  expect(readFileSync(join(path, "spans/run-1.spans"), "utf8")).toBe("1\t{}\n");
  expect(readdirSync(join(path, "spans"))).toEqual(["run-1.spans"]);
  expect(existsSync(earlier)).toBe(false);
  mkdirSync(join(earlier, "spans"), { recursive: true });
  writeFileSync(join(earlier, "spans/forged.spans"), "1\t{}\n");
  open(path, earlier);
  expect(readdirSync(join(path, "spans"))).toEqual(["run-1.spans"]);
});
