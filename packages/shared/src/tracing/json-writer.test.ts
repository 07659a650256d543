import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, endItems, part, textOf, writeDigits, writePart, writePlain, writeText } from "./json-writer.ts";

/** Written alone, as `JSON.stringify` writes it between its quotation marks. */
const quoted = (text: string) => JSON.stringify(text.toWellFormed()).slice(1, -1);

describe("text", () => {
  test("is written as valid JSON", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(textOf(() => writeText(text))).toBe(quoted(text));
      }),
    );
  });

  test("a lone surrogate is replaced, and nothing else", () => {
    const units = fc.constantFrom("a", '"', "\\", "\n", "\u007f", "é", "😀", "\ud83d", "\ude00");
    fc.assert(
      fc.property(fc.array(units), (parts) => {
        const text = parts.join("");
        expect(textOf(() => writeText(text))).toBe(quoted(text));
      }),
    );
  });
});

test("the buffer grows if needed, and keeps its contents", () => {
  const lengths = fc.array(fc.nat({ max: 100_000 }), { maxLength: 30 });
  const writers = fc.constantFrom(writePlain, writeText, (text: string) => writePart(part(text)));
  fc.assert(
    fc.property(lengths, writers, (counts, write) => {
      const texts = counts.map((count, i) => String.fromCharCode(97 + i).repeat(count));
      const text = textOf(() => {
        for (const each of texts) write(each);
      });
      // Not `toBe`: on a difference it would print megabytes.
      expect(text === texts.join("")).toBe(true);
    }),
    { numRuns: 20 },
  );
});

test("returned bytes do not change when others are written", () => {
  const first = bytesOf(() => writePlain("first"));
  const large = bytesOf(() => writePlain("x".repeat(2 * 1024 * 1024)));
  const last = bytesOf(() => writePlain("last"));
  expect([first, last].map((bytes) => new TextDecoder().decode(bytes))).toEqual(["first", "last"]);
  expect(large.every((byte) => byte === 0x78)).toBe(true);
});

test("an interrupted call leaves nothing for the next", () => {
  const fail = () => {
    writePlain("half");
    throw new Error("no more");
  };
  expect(() => textOf(fail)).toThrow("no more");
  expect(textOf(() => writePlain("whole"))).toBe("whole");
});

test("whole numbers have leading zeros", () => {
  fc.assert(
    fc.property(fc.nat({ max: 999_999_999 }), (value) => {
      expect(textOf(() => writeDigits(value, 9))).toBe(String(value).padStart(9, "0"));
    }),
  );
});

test("the comma after the last item is removed, and nothing of an empty list", () => {
  const list = (items: string[]) => {
    writePlain("[");
    for (const item of items) writePlain(`${item},`);
    endItems();
    writePlain("]");
  };
  expect(textOf(() => list(["1", "2"]))).toBe("[1,2]");
  expect(textOf(() => list([]))).toBe("[]");
});
