import { expect, test } from "vitest";
import { pathText } from "./path-text.ts";

test.each([
  ["src/plain name.ts", "src/plain name.ts"],
  ["עברית.md", "עברית.md"],
  ["line\nbreak", '"line\\nbreak"'],
  ["tab\there", '"tab\\there"'],
  ["\u001b[31mred", '"\\u001b[31mred"'],
  ['say "hi"', '"say \\"hi\\""'],
  ["back\\slash", '"back\\\\slash"'],
  [" before", '" before"'],
  ["after ", '"after "'],
])("%j is shown as %s", (path, shown) => {
  expect(pathText(path)).toBe(shown);
});
