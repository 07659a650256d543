import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { boundedJson, cutEnd, cutStart, head, tail, utf8Length } from "./text.ts";

/** Characters of one and of two UTF-16 code units. */
const text = fc.string({ unit: fc.constantFrom("a", "é", "…", '"', "\\", "\n", "😀", "𝒳") });
const max = fc.integer({ min: 1, max: 12 });

describe("a shortened text", () => {
  test("is whole if it fits, else the longest beginning or end without half a surrogate pair", () => {
    fc.assert(
      fc.property(text, max, (whole, limit) => {
        const [first, last] = [head(whole, limit), tail(whole, limit)];
        expect(whole.startsWith(first) && whole.endsWith(last)).toBe(true);
        for (const part of [first, last]) {
          expect(part.isWellFormed()).toBe(true);
          expect(part.length).toBeLessThanOrEqual(limit);
          expect(part.length).toBeGreaterThanOrEqual(Math.min(whole.length, limit - 1));
        }
      }),
    );
  });

  test("has an ellipsis in the place of the missing part", () => {
    fc.assert(
      fc.property(text, max, (whole, limit) => {
        for (const part of [cutEnd(whole, limit), cutStart(whole, limit)]) {
          expect(part.isWellFormed()).toBe(true);
          expect(part.length).toBeLessThanOrEqual(limit);
          if (whole.length <= limit) expect(part).toBe(whole);
        }
        if (whole.length <= limit) return;
        expect(whole.startsWith(cutEnd(whole, limit).slice(0, -1))).toBe(true);
        expect(whole.endsWith(cutStart(whole, limit).slice(1))).toBe(true);
        expect([cutEnd(whole, limit).at(-1), cutStart(whole, limit)[0]]).toEqual(["…", "…"]);
      }),
    );
  });

  test("is empty if nothing may stay", () => {
    expect([head("😀", 1), tail("😀", 1), head("ab", 0), tail("ab", 0)]).toEqual(["", "", "", ""]);
  });

  test("keeps lone surrogates of the original", () => {
    expect([head("a\ud83d", 2), tail("\ude00a", 2), tail("b\ude00a", 2)]).toEqual(["a\ud83d", "\ude00a", "\ude00a"]);
  });
});

describe("bounded JSON", () => {
  test("is JSON within the limit of bytes for any value, and whole if it fits", () => {
    const value = fc.oneof(fc.jsonValue(), fc.array(text), fc.dictionary(text, text));
    fc.assert(
      fc.property(value, fc.integer({ min: 5, max: 400 }), (value, limit) => {
        const json = boundedJson(value, limit);
        expect(utf8Length(json)).toBeLessThanOrEqual(limit);
        expect(json.isWellFormed()).toBe(true);
        const read: unknown = JSON.parse(json);
        const whole = JSON.stringify(value);
        if (utf8Length(whole) <= limit) expect(read).toEqual(JSON.parse(whole));
        else if (typeof value === "object") expect(Array.isArray(read)).toBe(Array.isArray(value));
      }),
    );
  });

  test("counts bytes, not characters", () => {
    expect(boundedJson(["€€"], 10)).toBe('["€€"]');
    expect(boundedJson(["€€"], 9)).toBe("[]");
    expect(utf8Length(boundedJson([{ content: "語".repeat(4000) }], 1000))).toBeLessThanOrEqual(1000);
  });

  test("shortens strings before it removes entries", () => {
    const json = boundedJson([{ role: "assistant", parts: [{ type: "text", content: '"'.repeat(5000) }] }], 1000);
    expect(JSON.parse(json)).toMatchObject([{ role: "assistant", parts: [{ type: "text" }] }]);
    expect(JSON.parse(boundedJson("\ud83d\ude00\u0000".repeat(999), 64))).toEqual(expect.any(String));
  });

  test("keeps the first and the last of too many parts", () => {
    const parts = Array.from({ length: 1000 }, (_, number) => ({
      type: "text",
      content: `${number} ${"x".repeat(40)}`,
    }));
    const [message] = JSON.parse(boundedJson([{ role: "assistant", parts }], 2000));
    expect(message.role).toBe("assistant");
    expect(message.parts.length).toBeGreaterThan(4);
    expect(message.parts.at(0).content).toMatch(/^0 /);
    expect(message.parts.at(-1).content).toMatch(/^999 /);
  });

  test("keeps an object with too many keys an object", () => {
    const input = Object.fromEntries(Array.from({ length: 1000 }, (_, number) => [`key${number}`, number]));
    expect(JSON.parse(boundedJson(input, 400))).toMatchObject({ key0: 0, key1: 1 });
  });

  test("splits no surrogate pair", () => {
    const content = `a${"😀".repeat(500)}`;
    for (let limit = 50; limit < 80; limit++) {
      expect(JSON.stringify(JSON.parse(boundedJson([{ content }], limit)))).not.toMatch(/\\ud/);
    }
  });
});
