/** Reading what git prints, for any names that git allows. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isBinarySection, parseCommits, parseDiffFiles, parseDiffTree, splitNul, splitPatch } from "./parse-changes.ts";

/** A name as bytes, with anything but NUL. */
const name = fc.uint8Array({ min: 1, max: 255, minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const ID = "a".repeat(40);
const NUL = Buffer.from([0]);

const change = fc.record({
  name,
  before: fc.option(name, { nil: undefined }),
  counts: fc.oneof(fc.tuple(fc.nat(9999), fc.nat(9999)), fc.constant(undefined)),
  mode: fc.constantFrom("100644", "120000", "160000"),
});

test("every list of changes is read back, whatever the names", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const raw = changes.flatMap(({ name, before, mode }) => [
        Buffer.from(`:${mode} ${mode} ${ID} ${ID} ${before === undefined ? "M" : "R090"}`),
        NUL,
        ...(before === undefined ? [] : [before, NUL]),
        name,
        NUL,
      ]);
      const numbers = changes.flatMap(({ name, before, counts }) => [
        Buffer.from(counts === undefined ? "-\t-\t" : `${counts[0]}\t${counts[1]}\t`),
        ...(before === undefined ? [] : [NUL, before, NUL]),
        name,
        NUL,
      ]);
      const { files, lines_added, lines_removed } = parseDiffTree(Buffer.concat([...raw, ...numbers]));
      const isText = ({ counts, mode }: (typeof changes)[number]) => counts !== undefined && mode !== "160000";
      expect(files).toEqual(
        changes.map((each) => ({
          path: each.name.toString("utf8"),
          previous_path: each.before?.toString("utf8") ?? null,
          kind: each.before === undefined ? "modified" : "renamed",
          lines_added: isText(each) ? each.counts?.[0] : null,
          lines_removed: isText(each) ? each.counts?.[1] : null,
        })),
      );
      const sum = (of: 0 | 1) => changes.filter(isText).reduce((total, { counts }) => total + (counts?.[of] ?? 0), 0);
      expect([lines_added, lines_removed]).toEqual([sum(0), sum(1)]);
    }),
  );
});

test("a list of candidates is read back, and an unmerged file is one", () => {
  fc.assert(
    fc.property(fc.uniqueArray(name, { selector: (each) => each.toString("latin1"), maxLength: 20 }), (names) => {
      const lines = names.flatMap((each) => [Buffer.from(`:100644 100644 ${ID} ${ID} M`), NUL, each, NUL]);
      const twice = Buffer.concat([...lines, ...lines]);
      expect(parseDiffFiles(twice).map(({ path }) => path.toString("latin1"))).toEqual(
        names.map((each) => each.toString("latin1")),
      );
    }),
  );
});

test("no bytes make the readers throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const output = Buffer.from(bytes);
      for (const read of [splitNul, parseDiffFiles, parseDiffTree, parseCommits, splitPatch, isBinarySection])
        read(output);
    }),
  );
});

test("a patch is cut into its files, and no line of a file looks like a beginning", () => {
  const one = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-diff --git a/x b/x\n+diff --git a/y b/y\n";
  const two = "diff --git a/b b/b\nBinary files a/b and b/b differ\n";
  const sections = splitPatch(Buffer.from(one + two));
  expect(sections.map(String)).toEqual([one, two]);
  expect(sections.map(isBinarySection)).toEqual([false, true]);
  expect(splitPatch(Buffer.from(""))).toEqual([]);
});

test("commits have their subjects, cut and without what follows", () => {
  const output = `commit ${ID}\nfirst\ncommit ${"b".repeat(40)}\n${"x".repeat(400)}\n`;
  const [first, second] = parseCommits(Buffer.from(output));
  expect(first).toEqual({ id: ID, subject: "first" });
  expect(second?.subject).toHaveLength(300);
});
