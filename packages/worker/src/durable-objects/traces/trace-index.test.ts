import fc from "fast-check";
import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { upgradeFromAd59303 } from "../../../test/old-tables.ts";
import { rowsReadBy, totalOf } from "../../../test/rows-read.ts";
import { compareTraces, TraceIndex } from "./trace-index.ts";
import type { TraceSummary } from "./trace-summary.ts";

function summaryOf(traceId: string, more: Partial<TraceSummary> = {}): TraceSummary {
  return { traceId, startUs: 100, endUs: 200, spans: 1, errors: 0, ...more };
}

/** Lists all traces, `limit` at a time. */
function pages(index: TraceIndex, limit: number): TraceSummary[] {
  const listed: TraceSummary[] = [];
  for (;;) {
    const page = index.newest(limit, listed.at(-1), []);
    listed.push(...page);
    if (page.length < limit) return listed;
  }
}

/** The traces of a segment: each one's start, and how many spans and errors of it are in the segment. */
const segments = fc.array(
  fc.uniqueArray(
    fc.record({
      traceId: fc.constantFrom("a", "b", "c", "d", "e"),
      startUs: fc.integer({ min: 1, max: 6 }),
      spans: fc.integer({ min: 1, max: 9 }),
      errors: fc.integer({ min: 0, max: 3 }),
      isForeign: fc.boolean(),
    }),
    { selector: ({ traceId }) => traceId, minLength: 1 },
  ),
  { minLength: 1, maxLength: 12 },
);

test("whatever is added and removed, each trace is listed once, with its first start by the Worker's clock and the counts of what is left", async () => {
  await fc.assert(
    fc.asyncProperty(segments, fc.nat({ max: 11 }), fc.integer({ min: 1, max: 3 }), (added, removals, limit) =>
      inStorage(({ sql }) => {
        const index = new TraceIndex(sql);
        const all = added.flat();
        /** The first start of the Worker's spans, or else of the others. */
        const startOf = (id: string) => {
          const rows = all.filter(({ traceId }) => traceId === id);
          const own = rows.filter(({ isForeign }) => !isForeign);
          return Math.min(...(own.length > 0 ? own : rows).map(({ startUs }) => startUs));
        };
        for (const [id, traces] of added.entries()) {
          const spans = traces.reduce((sum, trace) => sum + trace.spans, 0);
          index.add(
            id + 1,
            spans,
            traces.map(({ isForeign, ...trace }) => ({ ...trace, ...(isForeign && { isForeign }), endUs: 9 })),
          );
        }
        const removed = Math.min(removals, added.length - 1);
        for (const [id, traces] of added.slice(0, removed).entries()) {
          index.remove(
            id + 1,
            traces.map(({ traceId }) => traceId),
          );
        }
        const left = added.slice(removed).flat();
        const expected = [...Map.groupBy(left, ({ traceId }) => traceId)].map(([traceId, rows]) => ({
          traceId,
          startUs: startOf(traceId),
          spans: rows.reduce((sum, { spans }) => sum + spans, 0),
          errors: rows.reduce((sum, { errors }) => sum + errors, 0),
        }));
        const listed = pages(index, limit).map(({ traceId, startUs, spans, errors }) => {
          return { traceId, startUs, spans, errors };
        });
        expect(listed).toEqual(expected.sort(compareTraces));
        const byId: (string | undefined)[] = [];
        for (let next = index.firstFrom(""); next !== undefined; next = index.firstFrom(`${next.traceId} `)) {
          byId.push(next.traceId);
        }
        expect(byId).toEqual(expected.map(({ traceId }) => traceId).sort());
        for (const { traceId } of expected) {
          const held = added.map((traces) => traces.filter((trace) => trace.traceId === traceId));
          const holding = held.flatMap((rows, id) => {
            const isWhole = rows.length === added[id]?.length;
            return rows.length > 0 && id >= removed ? [{ id: id + 1, isWhole }] : [];
          });
          expect(index.holding(traceId, 0)).toEqual(holding);
        }
      }),
    ),
    { numRuns: 60 },
  );
});

test("a trace that is gone can come back", () =>
  inStorage(({ sql }) => {
    const index = new TraceIndex(sql);
    index.add(1, 1, [summaryOf("a")]);
    index.remove(1, ["a"]);
    expect(index.newest(10, undefined, [])).toEqual([]);
    index.add(2, 1, [summaryOf("a", { startUs: 300 })]);
    expect(index.newest(10, undefined, [])).toMatchObject([{ traceId: "a", startUs: 300, spans: 1 }]);
  }));

test("a page reads three rows a trace, whatever the number of traces and of their segments", () =>
  inStorage(async ({ sql }) => {
    const index = new TraceIndex(sql);
    for (let id = 1; id <= 2000; id++) {
      // The spans of a trace begin before those of the segments that were closed earlier, as a root's do.
      index.add(id, 2, [summaryOf(`trace ${id}`, { startUs: id }), summaryOf("long", { startUs: 5000 - id })]);
    }
    for (const after of [undefined, { startUs: 1000, traceId: "trace 1000" }, { startUs: 3, traceId: "trace 3" }]) {
      const read = await rowsReadBy(sql, () => index.newest(50, after, ["long"]));
      expect(totalOf(read)).toBeLessThanOrEqual(3 * 50 + 5);
    }
    const read = await rowsReadBy(sql, () => index.summary("long"));
    expect(totalOf(read)).toBe(1);
    expect(index.summary("long")).toMatchObject({ spans: 2000, startUs: 3000 });
  }));

test("the index of an earlier version has its traces, starts and totals", () =>
  inStorage((storage) => {
    const rows = [
      [1, summaryOf("a", { name: "step", nameUs: 150, nameLevel: 1, startUs: 150 })],
      [2, summaryOf("a", { name: "root", nameUs: 120, nameLevel: 0, startUs: 120, endUs: 250, spans: 3, errors: 2 })],
      [2, summaryOf("b", { startUs: 160, spans: 2 })],
    ] as const;
    const values = rows.map(([segmentId, summary]) => {
      return `('${summary.traceId}', ${segmentId}, ${summary.startUs}, '${JSON.stringify(summary)}')`;
    });
    upgradeFromAd59303(
      storage,
      `INSERT INTO trace_segments VALUES (1, 0, 1, 1, 1, x'00'), (2, 0, 1, 5, 2, x'00');
       INSERT INTO trace_index VALUES ${values.join(", ")}`,
    );
    const index = new TraceIndex(storage.sql);
    expect(index.newest(10, undefined, [])).toEqual([
      summaryOf("b", { startUs: 160, spans: 2 }),
      {
        ...summaryOf("a", { startUs: 120, endUs: 250, spans: 4, errors: 2 }),
        ...{ name: "root", nameUs: 120, nameLevel: 0 },
      },
    ]);
    expect(index.holding("a", 0)).toEqual([
      { id: 1, isWhole: true },
      { id: 2, isWhole: false },
    ]);
    index.add(3, 1, [summaryOf("a", { startUs: 170 })]);
    index.remove(1, ["a"]);
    expect(index.summary("a")).toMatchObject({ startUs: 120, spans: 4, errors: 2 });
  }));
