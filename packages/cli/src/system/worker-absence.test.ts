import { expect, test } from "vitest";
import { isAbsent } from "./worker-absence.ts";

test("a workerd is absent once none has run for a while, however often one ran before", async () => {
  let checks = 0;
  expect(await isAbsent(() => ++checks <= 3, new AbortController().signal, 5)).toBe(true);
  expect(checks).toBeGreaterThan(3);
});

test("a workerd that runs is never absent; the signal ends the wait", async () => {
  const stop = new AbortController();
  let checks = 0;
  const isRunning = () => {
    if (++checks === 5) stop.abort();
    return true;
  };
  expect(await isAbsent(isRunning, stop.signal, 5)).toBe(false);
});
