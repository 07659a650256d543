import { parsePatch } from "@valet/shared/patch";
import { expect, test } from "vitest";
import { diffChunks, shownLine } from "./diff-chunks.ts";

test("a long diff is in pieces of fifty lines, and only the first has the head", () => {
  const lines = Array.from({ length: 120 }, (_, index) => `+${index}`).join("\n");
  const [file] = parsePatch(`diff --git a/f b/f\n--- /dev/null\n+++ b/f\n@@ -0,0 +1,120 @@\n${lines}\n`);
  const chunks = file === undefined ? [] : diffChunks(file);
  expect(chunks.map(({ head, hunk }) => [head, hunk.changes.length])).toEqual([
    ["@@ -0,0 +1,120 @@", 50],
    [undefined, 50],
    [undefined, 20],
  ]);
  expect(chunks[2]?.hunk.changes[0]).toEqual({ type: "insert", isInsert: true, content: "100", lineNumber: 101 });
});

test.each([
  ["\u202eabc", "\ufffdabc"],
  ["a\u200bb", "a\ufffdb"],
  ["\u001b[31m", "␛[31m"],
  ["end\r", "end␍"],
  ["\ttab", "\ttab"],
])("%j is shown as %j", (line, shown) => {
  expect(shownLine(line)).toBe(shown);
});

test("a line of a megabyte is cut, and says how long it is", () => {
  expect(shownLine("a".repeat(1_048_576))).toMatch(/^a{900,1000}… \(1048576 characters\)$/);
});

test("a line that only lost its newline differs from what it was", () => {
  const hunk = "@@ -1 +1 @@\n-one\n+one\n\\ No newline at end of file\n";
  const [file] = parsePatch(`diff --git a/f b/f\n--- a/f\n+++ b/f\n${hunk}`);
  const lines = file === undefined ? [] : diffChunks(file).flatMap(({ hunk }) => hunk.changes);
  expect(lines.map(({ content }) => content)).toEqual(["one", "one (no newline at the end of the file)"]);
});

test("a symbolic link's line says only where it leads", () => {
  const hunk = "@@ -0,0 +1 @@\n+target\n\\ No newline at end of file\n";
  const [file] = parsePatch(`diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n${hunk}`);
  const lines = file === undefined ? [] : diffChunks(file).flatMap(({ hunk }) => hunk.changes);
  expect(lines.map(({ content }) => content)).toEqual(["target"]);
});
