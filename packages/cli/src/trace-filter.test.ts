import fc from "fast-check";
import { expect, test } from "vitest";
import { chooseSpans, flatten, isWantedSpan, isWantedTrace, keepSpans, traceToFollow } from "./trace-filter.ts";
import { buildTrees, type TraceSpan } from "./trace-tree.ts";

function span(spanId: string, more: Partial<TraceSpan> = {}): TraceSpan {
  const plain = { traceId: "t", parentSpanId: undefined, name: spanId, service: "s", startMs: 0, endMs: 1 };
  return { ...plain, spanId, attributes: {}, links: [], isError: false, ...more };
}

const TREE = [
  span("root"),
  span("a", { parentSpanId: "root", startMs: 1 }),
  span("failed", { parentSpanId: "a", startMs: 2, isError: true }),
  span("b", { parentSpanId: "root", startMs: 3 }),
  span("open", { parentSpanId: "b", startMs: 4, endMs: undefined }),
];
const idsOf = (...args: Parameters<typeof chooseSpans>) =>
  chooseSpans(...args)
    .trees.flatMap(flatten)
    .map(({ spanId }) => spanId);

test("spans that failed, are open or began lately are chosen with those above them", () => {
  const trees = buildTrees(TREE);
  expect(idsOf(trees, { errors: true }, 9)).toEqual(["root", "a", "failed"]);
  expect(idsOf(trees, { open: true }, 9)).toEqual(["root", "b", "open"]);
  expect(idsOf(trees, { open: true, errors: true }, 9)).toEqual(["root", "a", "failed", "b", "open"]);
  expect(idsOf(trees, { sinceMs: 4 }, 9)).toEqual(["root", "b", "open"]);
  expect(idsOf(trees, { errors: true, sinceMs: 3 }, 9)).toEqual([]);
  expect(idsOf(trees, {}, 9)).toHaveLength(5);
  // The process of "a" has a clock that is behind by 5 ms.
  const shiftUs = (spanId: string) => (spanId === "a" ? 5000 : 0);
  expect(idsOf(trees, { sinceMs: 4 }, 9, { shiftUs })).toEqual(["root", "a", "b", "open"]);
});

test("traces are chosen likewise", () => {
  const trace = {
    traceId: "t",
    startedAt: "2026-01-01T00:00:10.000Z",
    duration_ms: 1,
    spans: 1,
    openSpans: 0,
    errors: 1,
  };
  expect(isWantedTrace(trace, {})).toBe(true);
  expect(isWantedTrace(trace, { errors: true })).toBe(true);
  expect(isWantedTrace(trace, { open: true })).toBe(false);
  expect(isWantedTrace(trace, { sinceMs: Date.parse("2026-01-01T00:00:11Z") })).toBe(false);
});

test("what is followed is the work that goes on, rather than the start of its sandbox, or else the newest trace", () => {
  const trace = (name: string, openSpans: number) => {
    const plain = { startedAt: "2026-01-01T00:00:10.000Z", duration_ms: 1, spans: 1, errors: 0 };
    return { ...plain, traceId: name, name, openSpans };
  };
  const [work, restore, old] = [trace("POST /x", 1), trace("valet.sandbox.restore", 1), trace("POST /y", 0)];
  expect(traceToFollow([restore, work, old])).toBe(work);
  expect(traceToFollow([old, restore])).toBe(restore);
  expect(traceToFollow([old])).toBe(old);
  expect(traceToFollow([])).toBeUndefined();
});

const forest = fc.array(fc.record({ parent: fc.nat(12), isError: fc.boolean(), isOpen: fc.boolean() }), {
  maxLength: 12,
});

test("of any trace: no wanted span is lost, what is shown hangs together, and the limit is kept", () => {
  fc.assert(
    fc.property(forest, fc.boolean(), fc.boolean(), fc.integer({ min: 1, max: 12 }), (rows, errors, open, limit) => {
      const spans = rows.map(({ parent, isError, isOpen }, i) =>
        span(String(i), {
          parentSpanId: parent === i ? undefined : String(parent),
          isError,
          endMs: isOpen ? undefined : 1,
        }),
      );
      const trees = buildTrees(spans);
      const all = new Set(idsOf(trees, { errors, open }, Number.POSITIVE_INFINITY));
      for (const each of spans) if (isWantedSpan(each, { errors, open })) expect(all).toContain(each.spanId);
      const { trees: shown, leftOut } = chooseSpans(trees, { errors, open }, limit);
      const ids = shown.flatMap(flatten).map(({ spanId }) => spanId);
      expect(ids).toEqual([...all].slice(0, limit));
      expect(ids.length + leftOut).toBe(all.size);
    }),
  );
});

test("the JSON of a trace is reduced to the chosen spans, without empty groups", () => {
  const spansOf = (...ids: string[]) => ids.map((spanId) => ({ spanId, name: "n" }));
  const otlp = {
    resourceSpans: [
      { resource: { attributes: [] }, scopeSpans: [{ scope: { name: "s" }, spans: spansOf("a", "b") }] },
      { resource: { attributes: [] }, scopeSpans: [{ spans: spansOf("c") }] },
    ],
  };
  expect(keepSpans(otlp, new Set(["b"]))).toEqual({
    resourceSpans: [{ resource: { attributes: [] }, scopeSpans: [{ scope: { name: "s" }, spans: spansOf("b") }] }],
  });
});
