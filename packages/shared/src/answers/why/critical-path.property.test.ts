/** Where time is cut into segments, none of it is lost or counted twice: rounding could not mend it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { covering, criticalPath, overlaid, type Segment } from "./critical-path.ts";
import { type Node, OPEN_US } from "./forest.ts";
import { stepOf } from "./step.ts";

/** Epoch µs of some year: sums of such numbers must stay exact. */
const NOW_US = 1_790_000_000_000_000;
const path = [stepOf("tool", null)];
const other = [stepOf("agent_unresponsive", null)];

/** Microseconds; few of them, so that many are equal, and some of a clock that is wrong. */
const times = fc
  .oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 12 }) },
    { weight: 2, arbitrary: fc.integer({ min: -3_000_000, max: 3_000_000 }) },
    { weight: 1, arbitrary: fc.constantFrom(-NOW_US, 86_400_000_000, -86_400_000_000) },
  )
  .map((us) => NOW_US + us);
const windows = fc.tuple(times, times).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
const segments = (of: Segment["path"]) =>
  fc
    .array(windows, { maxLength: 8 })
    .map((all) => all.map(([startUs, endUs]): Segment => ({ startUs, endUs, path: of })));

/** Trees whose spans overlap, are open, take no time, or are not within their parents. */
const treesOf = (depth: number): fc.Arbitrary<Node<null>> =>
  fc.record({
    span: fc.constant(null),
    startUs: times,
    endUs: fc.oneof(times, fc.constant(OPEN_US)),
    children: depth === 0 ? fc.constant([]) : fc.array(treesOf(depth - 1), { maxLength: 3 }),
  });
const trees = treesOf(4).map(ordered);

function ordered({ startUs, endUs, ...node }: Node<null>): Node<null> {
  return { ...node, startUs, endUs: Math.max(startUs, endUs), children: node.children.map(ordered) };
}

interface Period {
  readonly startUs: number;
  readonly endUs: number;
}

/** Expects periods in order that take time and do not overlap. @returns how long they are together, µs */
function expectDisjoint(periods: readonly Period[]): number {
  let lastUs = -Infinity;
  let sum = 0;
  for (const { startUs, endUs } of periods) {
    expect(startUs).toBeGreaterThanOrEqual(lastUs);
    expect(endUs).toBeGreaterThan(startUs);
    lastUs = endUs;
    sum += endUs - startUs;
  }
  return sum;
}

test("the critical path of any tree covers what its root has of the window, once", () => {
  fc.assert(
    fc.property(trees, windows, (root, [startUs, endUs]) => {
      const own = criticalPath(root, startUs, endUs, [], (_node, around) => around);
      const whole = Math.min(endUs, root.endUs) - Math.max(startUs, root.startUs);
      expect(expectDisjoint(own)).toBe(Math.max(whole, 0));
    }),
    { numRuns: 1000 },
  );
});

test("any segments cover a window exactly, once nothing of it is left out", () => {
  fc.assert(
    fc.property(segments(path), windows, (all, [startUs, endUs]) => {
      const covered = covering(all, startUs, endUs, other);
      expect(expectDisjoint(covered)).toBe(endUs - startUs);
      expect([covered[0]?.startUs ?? startUs, covered.at(-1)?.endUs ?? endUs]).toEqual([startUs, endUs]);
    }),
    { numRuns: 1000 },
  );
});

test("segments that lie over others replace them where both are, however they overlap, and nothing is lost", () => {
  fc.assert(
    fc.property(segments(path), windows, segments(other), (all, [startUs, endUs], over) => {
      const under = covering(all, startUs, endUs, path);
      const sorted = over.toSorted((a, b) => a.startUs - b.startUs);
      const result = overlaid(under, sorted);
      expect(expectDisjoint(result)).toBe(endUs - startUs);
      const replaced = result.filter((segment) => segment.path[0] === other[0]);
      const expected = covering(sorted, startUs, endUs, path).filter((segment) => segment.path[0] === other[0]);
      expect(expectDisjoint(replaced)).toBe(expectDisjoint(expected));
    }),
    { numRuns: 1000 },
  );
});
