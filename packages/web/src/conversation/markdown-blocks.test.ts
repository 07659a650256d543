import fc from "fast-check";
import { expect, test } from "vitest";
import { markdownBlocks } from "./markdown-blocks.ts";

test("a text is cut at empty lines, but not within a list, a quote or code", () => {
  expect(markdownBlocks("One.\n\nTwo\nlines.\n\n\nThree.")).toEqual(["One.", "Two\nlines.", "Three."]);
  expect(markdownBlocks("1. a\n\n2. b\n\n   more\n\nEnd.")).toEqual(["1. a\n\n2. b\n\n   more", "End."]);
  expect(markdownBlocks("```ts\na\n\nb\n```\n\nEnd.")).toEqual(["```ts\na\n\nb\n```", "End."]);
  expect(markdownBlocks("````\n```\n\nb\n````\n\nEnd.")).toEqual(["````\n```\n\nb\n````", "End."]);
  expect(markdownBlocks("```\nunfinished\n\ncode")).toEqual(["```\nunfinished\n\ncode"]);
  expect(markdownBlocks("\n\n")).toEqual([]);
});

test("nothing is lost, and what is complete does not change while more comes", () => {
  const line = fc.constantFrom(
    "",
    "word",
    "- item",
    "  indented",
    "```",
    "> quote",
    "| a |",
    "~~~",
    "1. one",
    "<img onerror>",
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const whole = markdownBlocks(lines.join("\n"));
      expect(whole.join("\n").replace(/\s/g, "")).toBe(lines.join("\n").replace(/\s/g, ""));
      const before = markdownBlocks(lines.slice(0, -1).join("\n"));
      expect(whole.slice(0, before.length - 1)).toEqual(before.slice(0, -1));
    }),
  );
});
