import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DeletionFacts, EXPORT_MS, nextLookMs, nextStep, SETTLE_MS } from "./deletion-rules.ts";

const NOW_MS = 1_800_000_000_000;
const DONE: DeletionFacts = {
  isTerminated: true,
  unfinishedCalls: 0,
  waitingTurns: 0,
  waitingSpans: 0,
  sinceMs: NOW_MS - 1000,
  endedMs: undefined,
};

describe("a deletion", () => {
  test.each([
    ["waits for the end of the sandbox, however long it takes", { isTerminated: false, sinceMs: 0 }, "wait"],
    ["waits for the broker and for other objects", { unfinishedCalls: 1 }, "wait"],
    ["… for a day", { unfinishedCalls: 1, sinceMs: NOW_MS - SETTLE_MS }, "close"],
    ["waits until D1 has every turn, however long it takes", { waitingTurns: 1, sinceMs: 0 }, "wait"],
    ["closes when everything has ended", {}, "close"],
    ["then waits for the backend", { endedMs: NOW_MS - 1, waitingSpans: 3 }, "wait"],
    ["… for a while", { endedMs: NOW_MS - EXPORT_MS, waitingSpans: 3 }, "erase"],
    ["and erases everything", { endedMs: NOW_MS, unfinishedCalls: 1 }, "erase"],
  ] as const)("%s", (_what, facts, step) => {
    expect(nextStep({ ...DONE, ...facts }, NOW_MS)).toBe(step);
  });

  test("always ends once the sandbox has ended and D1 has the turns, whatever else is left", () => {
    const facts = fc.record({
      isTerminated: fc.constant(true),
      unfinishedCalls: fc.nat(),
      waitingTurns: fc.constant(0),
      waitingSpans: fc.nat(),
      sinceMs: fc.integer({ min: 0, max: NOW_MS }),
      endedMs: fc.option(fc.integer({ min: 0, max: NOW_MS }), { nil: undefined }),
    });
    fc.assert(
      fc.property(facts, (any) => {
        expect(nextStep(any, NOW_MS + SETTLE_MS + EXPORT_MS)).not.toBe("wait");
        const lookMs = nextLookMs(any, NOW_MS);
        expect(lookMs).toBeGreaterThan(NOW_MS);
        expect(lookMs).toBeLessThanOrEqual(NOW_MS + 60_000);
      }),
    );
  });
});
