import { expect, test } from "vitest";
import { modeWords } from "./mode-words.ts";

test.each([
  [{}, undefined],
  [{ after: "100644" }, undefined],
  [{ before: "100755", after: "100755" }, undefined],
  [{ after: "100755" }, "It is executable."],
  [{ before: "100644", after: "100755" }, "It became executable."],
  [{ before: "100755", after: "100644" }, "It is no longer executable."],
  [{ before: "100755" }, "It was executable."],
  [{ after: "120000" }, "It is a symbolic link; its line is where it leads."],
  [{ before: "120000", after: "120000" }, "It is a symbolic link; its line is where it leads."],
  [{ before: "120000" }, "It was a symbolic link; its line is where it led."],
])("modes as words: %j", (modes, words) => {
  expect(modeWords(modes)).toBe(words);
});
