import { describe, expect, test, vi } from "vitest";
import { later, within } from "./timers.ts";

const never = new Promise<string>(() => {});

describe("within", () => {
  test("returns the result of the work, or rejects with its error", async () => {
    const late = vi.fn(() => "late");
    expect(await within(1, Promise.resolve("done"), late)).toBe("done");
    await expect(within(1, Promise.reject(new TypeError("x")), late)).rejects.toThrow(TypeError);
    expect(late).not.toHaveBeenCalled();
  });

  test("returns the other result if the work takes too long", async () => {
    expect(await within(1, never, () => "late")).toBe("late");
  });

  test("a late failure is ignored", async () => {
    let fail = (_error: Error) => {};
    const work = new Promise<string>((_, reject) => {
      fail = reject;
    });
    expect(await within(1, work, () => "late")).toBe("late");
    fail(new Error("too late"));
    await expect(work).rejects.toThrow("too late");
  });
});

test("later runs the work, once", async () => {
  const work = vi.fn();
  later(1, work);
  expect(work).not.toHaveBeenCalled();
  await vi.waitFor(() => expect(work).toHaveBeenCalledTimes(1), 20_000);
});

test("later can be cancelled", async () => {
  const work = vi.fn();
  clearTimeout(later(1, work));
  await new Promise<void>((resolve) => later(2, resolve));
  expect(work).not.toHaveBeenCalled();
});
