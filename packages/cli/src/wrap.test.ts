import fc from "fast-check";
import { expect, test } from "vitest";
import { cutLine, wrap, wrapIndented } from "./wrap.ts";

test("a line that is too long goes on below, indented further", () => {
  expect(wrapIndented("  ses_1  running  it works on a long text", 20)).toEqual([
    "  ses_1  running  it",
    "    works on a long",
    "    text",
  ]);
  expect(wrapIndented("short", 20)).toEqual(["short"]);
});

test("a line is cut, and says so; wide characters count as two", () => {
  expect(cutLine("abcdef", 5)).toBe("abcd…");
  expect(cutLine("日本語", 5)).toBe("日本…");
  expect(cutLine("abcde", 5)).toBe("abcde");
});

test("whatever the line and the width: no piece is wider, and no character but spaces is lost", () => {
  const text = fc.stringMatching(/^ {0,6}[a-z日 ]{0,60}$/);
  fc.assert(
    fc.property(text, fc.integer({ min: 20, max: 40 }), (line, width) => {
      const dense = (lines: readonly string[]) => lines.join("").replaceAll(" ", "");
      const pieces = wrapIndented(line, width);
      expect(dense(pieces)).toBe(dense([line]));
      for (const piece of [...pieces, cutLine(line, width)]) expect(wrap(piece.trimEnd(), width)).toHaveLength(1);
    }),
  );
});
