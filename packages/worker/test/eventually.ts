import { vi } from "vitest";

/** Waits until `check` throws no more: often enough to be quick, long enough for a machine that has much else to do. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { interval: 10, timeout: 10_000 });
}
