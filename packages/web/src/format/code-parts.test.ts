import fc from "fast-check";
import { expect, test } from "vitest";
import { codeParts } from "./code-parts.ts";

test("names between backticks are code", () => {
  expect(codeParts("The tool `bash` runs, `tail -f`").map(({ text, isCode }) => [text, isCode])).toEqual([
    ["The tool ", false],
    ["bash", true],
    [" runs, ", false],
    ["tail -f", true],
  ]);
});

test("nothing of a sentence is lost, whatever it contains", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("`", "a", " ", "\n", "<", "😀") }), (sentence) => {
      const joined = codeParts(sentence)
        .map(({ text, isCode }) => (isCode ? `\`${text}\`` : text))
        .join("");
      expect(joined).toBe(sentence);
    }),
  );
});
