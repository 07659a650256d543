import { expect, test, vi } from "vitest";
import { keepUp } from "./worker-upkeep.ts";

test("the upkeep runs at once and again, also after a run that failed, until it is stopped", async () => {
  const stopping = new AbortController();
  const log = vi.fn();
  let runs = 0;
  const done = keepUp({
    run: async () => {
      if (++runs === 1) throw new Error("the Worker is away");
      if (runs === 3) stopping.abort();
    },
    log,
    signal: stopping.signal,
    everyMs: 1,
  });
  await done;
  expect(runs).toBe(3);
  expect(log.mock.calls).toEqual([["The upkeep could not run: the Worker is away"]]);
});
