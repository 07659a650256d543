import { expect, test, vi } from "vitest";
import { readEarly, readOnce } from "./early-reads.ts";

test("an answer that was asked for early is taken once, and then asked for again", async () => {
  const read = vi.fn(async () => read.mock.calls.length);
  readEarly("a", read);
  expect(await readOnce("a", read)).toBe(1);
  expect(await readOnce("a", read)).toBe(2);
  expect(await readOnce("b", read)).toBe(3);
});

test("an error is that of who takes the answer", async () => {
  readEarly("failing", () => Promise.reject(new Error("no answer")));
  await expect(readOnce("failing", async () => 1)).rejects.toThrow("no answer");
  expect(await readOnce("failing", async () => 1)).toBe(1);
});

test("an old answer is not taken", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    readEarly("old", async () => "old");
    vi.advanceTimersByTime(6_000);
    expect(await readOnce("old", async () => "new")).toBe("new");
  } finally {
    vi.useRealTimers();
  }
});
