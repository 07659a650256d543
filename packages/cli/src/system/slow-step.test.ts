import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { sayIfSlow } from "./slow-step.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a step is announced once it takes more than two seconds, and not after its end", async () => {
  const lines: string[] = [];
  const slow = Promise.withResolvers<number>();
  const result = sayIfSlow("Waiting for the engine", (line) => lines.push(line), slow.promise);
  await vi.advanceTimersByTimeAsync(1_999);
  expect(lines).toEqual([]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toEqual(["Waiting for the engine …"]);
  slow.resolve(1);
  expect(await result).toBe(1);
  await expect(sayIfSlow("x", (line) => lines.push(line), Promise.reject(new Error("no")))).rejects.toThrow("no");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toHaveLength(1);
});
