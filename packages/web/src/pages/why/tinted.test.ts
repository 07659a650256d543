import fc from "fast-check";
import { expect, test } from "vitest";
import type { Schemas } from "../../api/client.ts";
import { tinted } from "./tinted.ts";

const part = (name: Schemas["WhyPart"]["name"], detail: string | null, ms: number): Schemas["WhyPart"] => ({
  ...{ name, detail, ms, parts: [], spans: [], spanCount: 0, cause: null },
});

test("each part that the sentence names has its kind", () => {
  const sentence =
    "20.0 s so far: 12.4 s waiting for the sandbox to restore, of which 7.9 s copying the snapshot; `bash` took 5.0 s.";
  const parts = [part("queue.sandbox", "restore", 12_400), part("tool", "bash", 5000), part("finalize", null, 100)];
  expect(tinted(sentence, parts).map(({ text, kind }) => [text, kind])).toEqual([
    ["20.0 s so far: ", undefined],
    ["12.4 s waiting for the sandbox to restore", "sandbox"],
    [", of which 7.9 s copying the snapshot; ", undefined],
    ["`bash` took 5.0 s", "tool"],
    [".", undefined],
  ]);
});

test("the pieces are the sentence", () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string({ maxLength: 3 })), fc.string(), (before, tools, after) => {
      const sentence = before + tools.map((tool) => `\`${tool}\` took 5.0 s`).join(", ") + after;
      const pieces = tinted(
        sentence,
        tools.map((tool) => part("tool", tool, 5000)),
      );
      expect(pieces.map(({ text }) => text).join("")).toBe(sentence);
    }),
  );
});
