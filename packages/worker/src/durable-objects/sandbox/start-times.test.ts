import { expect, test } from "vitest";
import { waitParts } from "./start-times.ts";

const start = (begunMs: number, madeMs: number | null, endedMs: number | null) => ({ begunMs, madeMs, endedMs });

test.each([
  ["no start", { fromMs: 0, toMs: 100 }, [], 0, 0],
  ["the whole of a start", { fromMs: 0, toMs: 100 }, [start(10, 40, 90)], 30, 50],
  ["a start that was under way when it came", { fromMs: 50, toMs: 100 }, [start(10, 40, 90)], 0, 40],
  ["a start that was over before it came", { fromMs: 95, toMs: 100 }, [start(10, 40, 90)], 0, 0],
  [
    "a start that failed at the broker, and the next one",
    { fromMs: 0, toMs: 100 },
    [start(0, null, 20), start(30, 50, 100)],
    40,
    50,
  ],
  ["a start that is not over", { fromMs: 0, toMs: 100 }, [start(20, null, null)], 80, 0],
] as const)("of a wait, the sandbox took its part: %s", (_name, wait, starts, sandbox_ms, bootstrap_ms) => {
  expect(waitParts(wait, starts)).toEqual({ sandbox_ms, bootstrap_ms });
});
