import fc from "fast-check";
import { expect, test } from "vitest";
import { stripBars } from "./hour-strip.ts";

const NOW = Date.parse("2026-11-26T13:00:00.000Z");
const at = (minute: number) => new Date(NOW - 60 * 60_000 + minute * 60_000).toISOString();
const turn = (dispatched: number, ended: number, waitMs = 0, outcome: "ok" | "error" | "lost" = "ok") => ({
  attempt_id: `att_${dispatched}`,
  accepted_at: at(dispatched),
  dispatched_at: at(dispatched),
  ended_at: at(ended),
  queue_wait_ms: waitMs,
  outcome,
});

test("a turn is its wait and its work, at their places in the hour", () => {
  expect(stripBars([turn(30, 45, 6 * 60_000, "error")], [], NOW)).toEqual([
    { key: "att_30 wait", kind: "queue", left: 40, width: 10, hasFailed: false },
    { key: "att_30", kind: "model", left: 50, width: 25, hasFailed: true },
  ]);
});

test("what began before the hour is cut, and what runs ends now; a lost turn is drawn as unknown", () => {
  expect(stripBars([turn(-30, 15, 0, "lost")], [{ id: "msg_1", dispatchedAt: at(54) }], NOW)).toEqual([
    { key: "att_-30", kind: "lost", left: 0, width: 25, hasFailed: false },
    { key: "msg_1 runs", kind: "model", left: 90, width: 10, hasFailed: false },
  ]);
});

test("no bar leaves the strip", () => {
  const minute = fc.integer({ min: -200, max: 200 });
  fc.assert(
    fc.property(minute, minute, fc.nat({ max: 10_000_000 }), (start, length, wait) => {
      for (const { left, width } of stripBars([turn(start, start + length, wait)], [], NOW)) {
        expect(left).toBeGreaterThanOrEqual(0);
        expect(width).toBeGreaterThan(0);
        expect(left + width).toBeLessThanOrEqual(100.000001);
      }
    }),
  );
});
