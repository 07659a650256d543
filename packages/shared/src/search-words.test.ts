import fc from "fast-check";
import { expect, test } from "vitest";
import { hasWords, searchWords } from "./search-words.ts";

const found = (query: string, ...texts: (string | null)[]) => hasWords(searchWords(query), texts);

test("each word is found in some text; case, direction and width do not count, and every character stands for itself", () => {
  expect(found("flaky  EXPORT", "Mend the Flaky", "fix/export")).toBe(true);
  expect(found("flaky other", "Mend the Flaky", null)).toBe(false);
  expect(found("100%", "100 percent")).toBe(false);
  expect(found("100%", "at 100%")).toBe(true);
  expect(found("a_b", "axb")).toBe(false);
  expect(found("(.*)", "anything")).toBe(false);
  expect(found("straße ÄRGER", "Ärger in der Straße")).toBe(true);
  expect(found("re\u200blease", "rel\u200cease")).toBe(true);
  expect(found("\u202eabc", "abc")).toBe(true);
  expect(found("שלום", "\u202bשלום\u202c עולם")).toBe(true);
  expect(found(" \u200b ", "anything")).toBe(true);
  expect(searchWords("\u200b\u202e")).toEqual([]);
});

test("a part of a text is found in it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(), fc.nat(), (text, from, length) => {
      const part = Array.from(text)
        .slice(from % 20, (from % 20) + (length % 20))
        .join("");
      fc.pre(part.normalize("NFKC") === part && text.normalize("NFKC").includes(part));
      for (const word of searchWords(part)) expect(hasWords([word], [text])).toBe(true);
    }),
  );
});
