import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_COURSE_PIECES } from "../../protocol/why.ts";
import { courseOf } from "./course.ts";
import type { Segment } from "./critical-path.ts";
import { stepOf } from "./step.ts";

const START_US = 5_000_000;

/** Makes segments that follow each other. @param spent tool and time, in microseconds */
function segmentsOf(spent: readonly (readonly [tool: string, us: number])[]): Segment[] {
  let cursor = START_US;
  return spent.map(([tool, us]) => {
    const startUs = cursor;
    cursor += us;
    return { startUs, endUs: cursor, path: [stepOf("tool", null, tool), stepOf("agent", null)] };
  });
}

test("is the outermost parts in order; neighbours of one part are one piece", () => {
  const segments = segmentsOf([
    ["bash", 1_000_000],
    ["bash", 500_000],
    ["read", 20_000],
    ["bash", 300],
    ["edit", 1_000_000],
  ]);
  expect(courseOf(segments, START_US, 2520)).toEqual([
    { name: "tool", detail: "bash", ms: 1500 },
    { name: "tool", detail: "read", ms: 20 },
    { name: "tool", detail: "edit", ms: 1000 },
  ]);
});

test("of nothing is empty", () => {
  expect(courseOf([], START_US, 0)).toEqual([]);
});

test("a long one is divided evenly", () => {
  const spent = Array.from({ length: 5000 }, (_, index) => [index % 10 === 0 ? "read" : "bash", 10_000] as const);
  expect(courseOf(segmentsOf(spent), START_US, 50_000)).toEqual([{ name: "tool", detail: "bash", ms: 50_000 }]);
});

test("adds up exactly, whatever the segments are", () => {
  const spent = fc.array(
    fc.tuple(
      fc.constantFrom("a", "b", "c"),
      fc.oneof(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 5e6 })),
    ),
    { maxLength: 600 },
  );
  fc.assert(
    fc.property(spent, (each) => {
      const wallMs = Math.round(each.reduce((sum, [, us]) => sum + us, 0) / 1000);
      const pieces = courseOf(segmentsOf(each), START_US, wallMs);
      expect(pieces.reduce((sum, { ms }) => sum + ms, 0)).toBe(wallMs);
      expect(pieces.length).toBeLessThanOrEqual(MAX_COURSE_PIECES);
      for (const { ms } of pieces) expect(ms).toBeGreaterThan(0);
    }),
  );
});
