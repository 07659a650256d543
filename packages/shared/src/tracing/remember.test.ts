import { describe, expect, test, vi } from "vitest";
import { remember } from "./remember.ts";

describe("remember", () => {
  test("makes each short text once", () => {
    const make = vi.fn((text: string) => text.toUpperCase());
    const remembered = remember(make);
    expect(["a", "b", "a", "a"].map(remembered)).toEqual(["A", "B", "A", "A"]);
    expect(make.mock.calls).toEqual([["a"], ["b"]]);
  });

  test("holds on to no long text", () => {
    const make = vi.fn((text: string) => text.length);
    const remembered = remember(make);
    for (let i = 0; i < 2; i++) expect([64, 65].map((length) => remembered("x".repeat(length)))).toEqual([64, 65]);
    expect(make.mock.calls.map(([text]) => text.length)).toEqual([64, 65, 65]);
  });

  test("forgets what it knows before it knows too much", () => {
    const make = vi.fn((text: string) => `${text}!`);
    const remembered = remember(make);
    for (let i = 0; i < 5000; i++) expect(remembered(`${i}`)).toBe(`${i}!`);
    expect(make).toHaveBeenCalledTimes(5000);
    remembered("4999");
    expect(make).toHaveBeenCalledTimes(5000);
    remembered("0");
    expect(make).toHaveBeenCalledTimes(5001);
  });
});
