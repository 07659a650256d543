import { describe, expect, test, vi } from "vitest";
import { later, within } from "./timers.ts";

const never = new Promise<string>(() => {});

describe("within", () => {
  test("gives what the work gives, or throws what it throws", async () => {
    const late = vi.fn(() => "late");
    expect(await within(1, Promise.resolve("done"), late)).toBe("done");
    await expect(within(1, Promise.reject(new TypeError("x")), late)).rejects.toThrow(TypeError);
    expect(late).not.toHaveBeenCalled();
  });

  test("gives something else when the work takes too long", async () => {
    expect(await within(1, never, () => "late")).toBe("late");
  });

  test("a failure that comes too late is nobody's", async () => {
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

test("later can be called off", async () => {
  const work = vi.fn();
  clearTimeout(later(1, work));
  await new Promise<void>((resolve) => later(2, resolve));
  expect(work).not.toHaveBeenCalled();
});
