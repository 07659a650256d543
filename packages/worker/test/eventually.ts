import { vi } from "vitest";

/** Waits until `check` no longer throws. Polls often, and long enough for a busy machine. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { interval: 10, timeout: 30_000 });
}
