import { describe, expect, test } from "vitest";
import { createRandomIds, isValidSpanId, isValidTraceId } from "./ids.ts";

/** Random bytes that a test knows: `source(n)` is the n-th byte of all draws. Records how many bytes were asked for. */
function scripted(source: (index: number) => number) {
  let drawn = 0;
  const draws: number[] = [];
  const ids = createRandomIds((bytes) => {
    draws.push(bytes.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = source(drawn++);
  });
  return { ids, draws };
}

function hexOf(from: number, count: number, source: (index: number) => number): string {
  return Array.from({ length: count }, (_, i) =>
    source(from + i)
      .toString(16)
      .padStart(2, "0"),
  ).join("");
}

describe("createRandomIds", () => {
  test("ids are lower-case hex of their length", () => {
    const ids = createRandomIds();
    for (let i = 0; i < 1000; i++) {
      expect(ids.traceId()).toMatch(/^[0-9a-f]{32}$/);
      expect(ids.spanId()).toMatch(/^[0-9a-f]{16}$/);
    }
  });

  test("no id repeats", () => {
    const ids = createRandomIds();
    const other = createRandomIds();
    const spanIds = Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? ids : other).spanId());
    const traceIds = Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? ids : other).traceId());
    expect(new Set(spanIds).size).toBe(spanIds.length);
    expect(new Set(traceIds).size).toBe(traceIds.length);
  });

  test("every bit of an id is random", () => {
    const ids = createRandomIds();
    const sample = Array.from({ length: 2000 }, () => BigInt(`0x${ids.traceId()}`));
    for (let bit = 0n; bit < 128n; bit++) {
      const ones = sample.filter((id) => (id >> bit) % 2n === 1n).length;
      // 1000 expected; a fair coin is further off than this once in 10^28.
      expect(Math.abs(ones - 1000)).toBeLessThan(250);
    }
  });

  test("no randomness is used before the first id: a Worker's global scope has none", () => {
    const { ids, draws } = scripted(() => 1);
    expect(draws).toEqual([]);
    ids.spanId();
    expect(draws).toHaveLength(1);
  });

  test("every byte becomes its two digits, in order", () => {
    const { ids } = scripted((index) => index % 256);
    expect(ids.traceId()).toBe("000102030405060708090a0b0c0d0e0f");
    expect(ids.spanId()).toBe("1011121314151617");
    for (let from = 24; from < 2048; from += 8) expect(ids.spanId()).toBe(hexOf(from, 8, (index) => index % 256));
  });

  test("across the end of a pool no byte is used twice, and no id is short", () => {
    // Every 8 bytes hold their own number, from 1: a span id is one of them, a trace id two.
    const { ids, draws } = scripted((index) => {
      const number = Math.floor(index / 8) + 1;
      return [number >> 8, number % 256][(index % 8) - 6] ?? 0;
    });
    const numbersIn = (id: string) => (id.match(/.{16}/g) ?? []).map((block) => Number.parseInt(block, 16));
    expect(numbersIn(ids.spanId())).toEqual([1]);
    const pool = (draws[0] as number) / 8;

    // The span id leaves room for half a trace id at the end, which is not used.
    const first = Array.from({ length: pool / 2 - 1 }, () => ids.traceId()).flatMap(numbersIn);
    expect(first).toEqual(Array.from({ length: pool - 2 }, (_, i) => i + 2));
    expect(draws).toHaveLength(1);

    // Trace ids alone fill a pool to its end.
    const second = Array.from({ length: pool / 2 }, () => ids.traceId()).flatMap(numbersIn);
    expect(second).toEqual(Array.from({ length: pool }, (_, i) => pool + i + 1));
    expect(draws).toHaveLength(2);
    expect(ids.traceId()).toHaveLength(32);
    expect(draws).toHaveLength(3);
  });

  test("an id is never all zero: the next digits are taken", () => {
    const { ids } = scripted((index) => (index < 32 ? 0 : 0xab));
    expect(ids.spanId()).toBe("ab".repeat(8));
    const next = scripted((index) => (index < 32 ? 0 : 0xcd));
    expect(next.ids.traceId()).toBe("cd".repeat(16));
  });

  test("an id is never all zero: not even when a whole pool is", () => {
    const { ids, draws } = scripted((index) => (index < 5000 ? 0 : 0x0f));
    expect(ids.traceId()).toMatch(/^0*(0f)+$/);
    expect(draws.length).toBeGreaterThan(2);
  });

  test("an id may begin and end with zeros", () => {
    const { ids } = scripted((index) => (index === 7 || index === 8 ? 1 : 0));
    expect(ids.spanId()).toBe("0000000000000001");
    expect(ids.spanId()).toBe("0100000000000000");
  });
});

describe("R26 valid ids", () => {
  const cases: [name: string, isValid: (id: string) => boolean, length: number][] = [
    ["trace id", isValidTraceId, 32],
    ["span id", isValidSpanId, 16],
  ];

  test.each(cases)("a %s has its number of lower-case hex digits, not all zero", (_name, isValid, length) => {
    expect(isValid("0123456789abcdef".repeat(2).slice(0, length))).toBe(true);
    expect(isValid("1".padEnd(length, "0"))).toBe(true);
    expect(isValid("1".padStart(length, "0"))).toBe(true);
    expect(isValid("f".repeat(length))).toBe(true);

    expect(isValid("0".repeat(length))).toBe(false);
    expect(isValid("a".repeat(length - 1))).toBe(false);
    expect(isValid("a".repeat(length + 1))).toBe(false);
    expect(isValid("A".repeat(length))).toBe(false);
    expect(isValid(`${"a".repeat(length - 1)}g`)).toBe(false);
    expect(isValid(`${"a".repeat(length)}\n`)).toBe(false);
    expect(isValid("")).toBe(false);
  });
});
