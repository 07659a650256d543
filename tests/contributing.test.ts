// The places that CONTRIBUTING.md's table names are there.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const LETTERS: Readonly<Record<string, string>> = {
  W: "packages/worker/src/durable-objects",
  S: "packages/shared/src",
  R: "packages/runner/src",
};
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
}).split("\n");
const names = new Set(files.map((path) => basename(path)));

const [, section = ""] = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8").split("## Where things are");
const [table = ""] = section.split("\n## ");
const rows = table.split("\n").filter((line) => /^\| (?!---|to change \|)/.test(line));

/** Whether a file or folder of this name is there: a path from the root or from a letter, or a file's name alone. */
function isThere(name: string): boolean {
  const path = name.replace(/^([WSR])(?=\/)/, (letter) => LETTERS[letter] ?? letter);
  return existsSync(join(ROOT, path)) || names.has(path);
}

test("the table is there", () => {
  expect(rows.length).toBeGreaterThan(20);
});

test.each(rows)("%s", (row) => {
  expect(row.split(" | ")).toHaveLength(3);
  const code = [...row.matchAll(/`([^`]+)`/g)].flatMap(([, text = ""]) => text.split(" "));
  const places = code.filter((text) =>
    /^[\w.-]+(?:\/[\w.-]+)+\/?$|^[\w.-]+\/$|^\.?[\w-][\w.-]*\.(?:ts|mjs)$/.test(text),
  );
  expect(places.filter((each) => !isThere(each))).toEqual([]);
});
