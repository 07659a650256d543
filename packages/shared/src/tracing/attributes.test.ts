import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { untyped } from "../../test/recorder.ts";
import {
  type AttributeList,
  type AttributeRules,
  attributesToObject,
  KEEP_ALL,
  putAttribute,
  putAttributes,
} from "./attributes.ts";

/** What is kept of one value: a list of one attribute, or none. */
function kept(value: unknown, rules: Partial<AttributeRules> = {}): unknown[] {
  const list: AttributeList = [];
  const dropped = putAttribute(list, "key", value, { ...KEEP_ALL, ...rules });
  expect(list.length + 2 * dropped).toBe(2);
  return list.slice(1);
}

describe("values", () => {
  test.each([
    ["text", "text"],
    ["empty text", ""],
    ["an integer", 1],
    ["negative zero", -0],
    ["NaN", Number.NaN],
    ["infinity", Number.NEGATIVE_INFINITY],
    ["a bigint", 2n ** 70n],
    ["false", false],
    ["null", null],
    ["an empty array", []],
    ["a nested array", [[1, ["a"]], [], [null]]],
    ["a mixed array", [1, "a", true, 2n]],
    ["bytes", Uint8Array.of(0, 255)],
  ])("%s is kept as it is", (_name, value) => {
    expect(kept(value)).toEqual([value]);
  });

  test.each([
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["an object", { a: 1 }],
    ["a date", new Date(0)],
    ["an object with toJSON", { toJSON: () => "text" }],
    ["a wrapped string", Object("text")],
    ["floats", Float64Array.of(1)],
  ])("%s is dropped and counted", (_name, value) => {
    expect(kept(value)).toEqual([]);
  });

  test("undefined is not set and not dropped", () => {
    const list: AttributeList = [];
    expect(putAttribute(list, "key", undefined, KEEP_ALL)).toBe(0);
    expect(putAttributes(list, undefined, KEEP_ALL)).toBe(0);
    expect(putAttributes(list, { key: undefined }, KEEP_ALL)).toBe(0);
    expect(list).toEqual([]);
  });

  test("an unrepresentable value within an array becomes null, so that the others keep their indexes", () => {
    const sparse = [1];
    sparse[3] = 4;
    expect(kept([undefined, () => 1, {}, 1])).toEqual([[null, null, null, 1]]);
    expect(kept(sparse)).toEqual([[1, null, null, 4]]);
  });

  test("is a copy: callers may change the original afterwards", () => {
    const bytes = Uint8Array.of(1, 2);
    const array = ["a", ["b"]] as [string, string[]];
    const list: AttributeList = [];
    putAttributes(list, { bytes, array }, KEEP_ALL);
    bytes[0] = 9;
    array[0] = "changed";
    array[1].push("changed");
    expect(attributesToObject(list)).toEqual({ bytes: Uint8Array.of(1, 2), array: ["a", ["b"]] });
  });

  test("bytes that share their memory when sliced are copied, too", () => {
    class SharedSlice extends Uint8Array<ArrayBuffer> {
      // As Node's Buffer has it.
      override slice(): Uint8Array<ArrayBuffer> {
        return this.subarray();
      }
    }
    const bytes = new SharedSlice(new ArrayBuffer(2));
    const [copy] = kept(bytes);
    bytes[0] = 9;
    expect(copy).toEqual(Uint8Array.of(0, 0));
  });
});

describe("endless arrays", () => {
  test("an array that contains itself is dropped", () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    const twice: unknown[] = [];
    twice.push(twice, twice);
    expect(kept(cyclic)).toEqual([]);
    expect(kept(twice)).toEqual([]);
  });

  test("arrays nest 32 deep and no deeper", () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    expect(kept(nested(32))).toEqual([nested(32)]);
    expect(kept(nested(33))).toEqual([]);
  });

  test("an array holds at most 65,536 values, including nested ones", () => {
    const half = new Array(2 ** 15 - 1).fill(0);
    expect(kept(new Array(2 ** 16).fill(0))).toHaveLength(1);
    expect(kept(new Array(2 ** 16 + 1).fill(0))).toEqual([]);
    expect(kept([half, half])).toHaveLength(1);
    expect(kept([half, half, 0])).toEqual([]);
    expect(kept(new Array(2 ** 32 - 1))).toEqual([]);
  });

  test("a small graph of arrays with a huge expansion is dropped without a traversal", () => {
    let value: unknown[] = [];
    for (let i = 0; i < 32; i++) value = [value, value];
    expect(kept(value)).toEqual([]);
  });
});

test("a value that throws when it is read, or makes the redactor throw, is dropped", () => {
  const fail = () => {
    throw new Error("hostile");
  };
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  expect(kept(Object.defineProperty([], 0, { get: fail }))).toEqual([]);
  expect(kept(proxy)).toEqual([]);
  expect(kept("text", { redact: fail })).toEqual([]);
});

describe("keys", () => {
  test("the last value of a key wins, in the place of the first", () => {
    const list: AttributeList = [];
    putAttributes(list, { a: 1, b: 2 }, KEEP_ALL);
    expect(putAttribute(list, "a", "new", KEEP_ALL)).toBe(0);
    expect(list).toEqual(["a", "new", "b", 2]);
  });

  test("a value that cannot be stored leaves the previous one", () => {
    const list: AttributeList = ["a", 1];
    expect(putAttribute(list, "a", {}, KEEP_ALL)).toBe(1);
    expect(putAttribute(list, "a", undefined, KEEP_ALL)).toBe(0);
    expect(list).toEqual(["a", 1]);
  });

  test.each([[""], [1], [null], [Symbol("s")]])("%o is no key: dropped and counted", (key) => {
    const list: AttributeList = [];
    expect(putAttribute(list, untyped(key), 1, KEEP_ALL)).toBe(1);
    expect(list).toEqual([]);
  });

  test("names of built-in properties are ordinary keys", () => {
    const attributes = JSON.parse('{"__proto__": ["a"], "constructor": 1, "toString": 2, "hasOwnProperty": 3}');
    const list: AttributeList = [];
    expect(putAttributes(list, attributes, KEEP_ALL)).toBe(0);
    expect(Object.entries(attributesToObject(list))).toEqual(Object.entries(attributes));
  });
});

describe("R20 limits", () => {
  test("keys beyond the limit are dropped and counted; existing ones can still be changed", () => {
    const list: AttributeList = [];
    expect(putAttributes(list, { a: 1, b: 2, c: 3, d: 4 }, KEEP_ALL, 2)).toBe(2);
    expect(putAttribute(list, "b", 5, KEEP_ALL, 2)).toBe(0);
    expect(attributesToObject(list)).toEqual({ a: 1, b: 5 });
    expect(putAttribute([], "a", 1, KEEP_ALL, 0)).toBe(1);
  });

  test("strings and bytes are truncated, also in arrays; other values and keys are not", () => {
    const rules = { attributeValueLength: 3 };
    expect(kept("abcd", rules)).toEqual(["abc"]);
    expect(kept("abc", rules)).toEqual(["abc"]);
    expect(kept(["abcd", ["efgh"], 12345], rules)).toEqual([["abc", ["efg"], 12345]]);
    expect(kept(Uint8Array.of(1, 2, 3, 4), rules)).toEqual([Uint8Array.of(1, 2, 3)]);
    expect(kept(123456n, rules)).toEqual([123456n]);
    expect(kept("abcd", { attributeValueLength: 0 })).toEqual([""]);
    const list: AttributeList = [];
    putAttribute(list, "long key", 1, { ...KEEP_ALL, ...rules });
    expect(list).toEqual(["long key", 1]);
  });

  test("truncation never splits a surrogate pair", () => {
    const texts = fc.string({ unit: fc.constantFrom("a", "é", "😀") });
    fc.assert(
      fc.property(texts, fc.nat({ max: 12 }), (text, attributeValueLength) => {
        const [cut] = kept(text, { attributeValueLength }) as [string];
        expect(text.startsWith(cut)).toBe(true);
        expect(cut.length).toBeGreaterThanOrEqual(Math.min(text.length, attributeValueLength) - 1);
        expect(cut.length).toBeLessThanOrEqual(attributeValueLength);
        expect(cut.isWellFormed()).toBe(true);
      }),
    );
  });

  test("text is redacted before it is truncated, under the key of its attribute", () => {
    const redact = (key: string, value: string) => (key === "key" ? value.replace(/secret-\w+/g, "***") : value);
    const rules = { attributeValueLength: 8, redact };
    expect(kept("secret-abcdefgh", rules)).toEqual(["***"]);
    expect(kept(["ok", ["secret-abc"]], rules)).toEqual([["ok", ["***"]]]);
  });
});
