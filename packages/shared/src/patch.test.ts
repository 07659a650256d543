import fc from "fast-check";
import { expect, test } from "vitest";
import { parsePatch } from "./patch.ts";

const PATCH = String.raw`diff --git a/file.txt b/file.txt
index 814f4a4..fbe3b4b 100644
--- a/file.txt
+++ b/file.txt
@@ -1,2 +1,2 @@ context
 one
-two
+2
diff --git "a/\303\244 \"q\".txt" "b/\303\244 \"q\".txt"
new file mode 100644
--- /dev/null
+++ "b/\303\244 \"q\".txt"
@@ -0,0 +1 @@
+diff --git a/x b/x
\ No newline at end of file
diff --git a/old name b/new name
similarity index 100%
rename from old name
rename to new name
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1,2 +0,0 @@
--- a/x
-@@ -1 +1 @@
diff --git a/empty b/empty
new file mode 100644
index 0000000..e69de29
`;

test("files have their names, hunks and text, whatever they contain", () => {
  const files = parsePatch(PATCH);
  expect(files.map(({ path }) => path)).toEqual(["file.txt", 'ä "q".txt', "new name", "gone", "empty"]);
  expect(files.map(({ text }) => text).join("")).toBe(PATCH);
  expect(files[0]?.hunks).toEqual([
    {
      head: "@@ -1,2 +1,2 @@ context",
      oldStart: 1,
      newStart: 1,
      lines: [
        { type: "normal", content: "one", oldLine: 1, newLine: 1 },
        { type: "delete", content: "two", oldLine: 2 },
        { type: "insert", content: "2", newLine: 2 },
      ],
    },
  ]);
  expect(files[1]?.hunks[0]?.lines).toEqual([
    { type: "insert", content: "diff --git a/x b/x", newLine: 1, isUnended: true },
  ]);
  expect(files.map(({ modes }) => modes)).toEqual([
    { before: "100644", after: "100644" },
    { after: "100644" },
    {},
    { before: "100644" },
    { after: "100644" },
  ]);
  expect(files[3]?.hunks[0]?.lines.map(({ content }) => content)).toEqual(["-- a/x", "@@ -1 +1 @@"]);
});

test("any lines of a file come back as they are, and are of that file only", () => {
  const line = fc.oneof(
    fc.string({ unit: "binary" }).map((text) => text.replaceAll("\n", "")),
    fc.constantFrom("diff --git a/x b/x", "@@ -1 +1 @@", "-- a/x", "++ b/x", "\\ No newline", ""),
  );
  fc.assert(
    fc.property(fc.array(line, { minLength: 1 }), fc.array(line, { minLength: 1 }), (before, after) => {
      const head = (path: string) => `diff --git a/${path} b/${path}\n--- a/${path}\n+++ b/${path}\n`;
      const body = [...before.map((each) => `-${each}`), ...after.map((each) => `+${each}`)].join("\n");
      const file = (path: string) => `${head(path)}@@ -1,${before.length} +1,${after.length} @@\n${body}\n`;
      const files = parsePatch(file("one") + file("two"));
      expect(files.map(({ path }) => path)).toEqual(["one", "two"]);
      for (const { hunks } of files) {
        const lines = hunks.flatMap((hunk) => hunk.lines);
        expect(lines.filter(({ type }) => type === "delete").map(({ content }) => content)).toEqual(before);
        expect(lines.filter(({ type }) => type === "insert").map(({ content }) => content)).toEqual(after);
      }
    }),
  );
});

test("any text is read without an error, and nothing of it is lost after the first file's head", () => {
  const token = fc.constantFrom(
    "diff --git ",
    "@@ -1,3 +1 @@",
    "+",
    "-",
    " ",
    "\n",
    '"',
    "\\",
    "--- a/x",
    "+++ ",
    "rename to ",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(token, fc.string())), (tokens) => {
      const text = `diff --git a/f b/f\n${tokens.join("")}`;
      expect(
        parsePatch(text)
          .map((file) => file.text)
          .join(""),
      ).toBe(text);
    }),
  );
});

test("a name of any length is read", () => {
  const name = "ä".repeat(500_000);
  expect(parsePatch(`diff --git a/x b/x\n+++ "b/${name}"\n`)[0]?.path).toBe(name);
});

test("the parsed patch says that a file became executable, and that a file lost its last newline", () => {
  const patch = `diff --git a/x b/x
old mode 100644
new mode 100755
index 20cbb4d..7bcfef5
--- a/x
+++ b/x
@@ -1 +1 @@
-one
+one
\\ No newline at end of file
`;
  expect(parsePatch(patch)).toMatchObject([
    {
      modes: { before: "100644", after: "100755" },
      hunks: [
        {
          lines: [
            { content: "one", oldLine: 1 },
            { content: "one", newLine: 1, isUnended: true },
          ],
        },
      ],
    },
  ]);
});
