import { expect, test } from "vitest";
import { buildTrees, renderTrees, type TraceSpan } from "../trace-tree.ts";
import { choosePart } from "./trace-parts.ts";

const span = (spanId: string, parentSpanId: string | undefined, more: Partial<TraceSpan> = {}): TraceSpan => ({
  traceId: "t",
  spanId,
  parentSpanId,
  name: spanId,
  service: "s",
  startMs: 0,
  endMs: 10,
  attributes: {},
  links: [],
  isError: false,
  ...more,
});
const trees = buildTrees([
  span("root", undefined),
  span("turn", "root"),
  span("good", "turn"),
  span("bad", "turn", { isError: true }),
  span("below-bad", "bad"),
  span("open", "root", { endMs: undefined }),
]);
const names = (query: Partial<Parameters<typeof choosePart>[1]>) => {
  const part = choosePart(trees, { depth: 100, troubleOnly: false, ...query });
  const lines = renderTrees(part?.trees ?? [], 20, true).map((line) => line.trim().split(/\s{2,}/)[2]);
  return { lines, tooDeep: part?.tooDeep };
};

test("the whole trace, a level of it, what is below a span, and what failed or is open", () => {
  expect(names({})).toEqual({ lines: ["root", "turn", "good", "bad", "below-bad", "open"], tooDeep: 0 });
  expect(names({ depth: 2 })).toEqual({ lines: ["root", "turn", "open"], tooDeep: 3 });
  expect(names({ spanId: "turn" })).toEqual({ lines: ["turn", "good", "bad", "below-bad"], tooDeep: 0 });
  expect(names({ troubleOnly: true })).toEqual({ lines: ["root", "turn", "bad", "open"], tooDeep: 0 });
});

test("an unknown span has no part", () => {
  expect(choosePart(trees, { spanId: "none", depth: 1, troubleOnly: false })).toBeUndefined();
});
