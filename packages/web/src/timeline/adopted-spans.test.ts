/** Spans of programs that commands ran may have any name: they are in the waterfall, and nothing is made of them. */
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { expect, test } from "vitest";
import { buildModel } from "../waterfall/model.ts";
import { modelOf } from "./model.ts";
import { traceWork } from "./work.ts";

const T0 = Date.UTC(2026, 10, 25, 9);
const TRACE = "a".repeat(32);
const idOf = (id: number) => id.toString(16).padStart(16, "0");

function span(id: number, parent: number | undefined, name: string, from: number, to: number): SkeletonSpan {
  const [startUs, endUs] = [(T0 + from) * 1000, (T0 + to) * 1000];
  const parentSpanId = parent === undefined ? undefined : idOf(parent);
  return { spanId: idOf(id), parentSpanId, name, kind: 1, startUs, endUs, isError: false, isSealed: false, links: [] };
}

const OWN = [
  span(1, undefined, "valet.turn", 0, 1000),
  span(2, 1, "execute_tool bash", 100, 900),
  span(3, 1, "valet.workflow.step build", 900, 1000),
];
const NAMES = [
  "chat gpt-9",
  "execute_tool deploy",
  "invoke_agent other",
  "valet.turn",
  "valet.workflow.execute",
  "valet.retry.wait",
  "valet.sandbox.spawn",
  "GET /users",
];
const ADOPTED = NAMES.flatMap((name, index) => [
  { ...span(10 + index, 2, name, 200 + index, 800), isAdopted: true },
  // Below a command of a workflow, which stays one.
  { ...span(30 + index, 3, name, 910, 990), isAdopted: true },
]);
const spans = [...OWN, ...ADOPTED];

test("they are no lanes, model calls, tools, turns or operations of the timeline", () => {
  const [without, all] = [traceWork(TRACE, OWN), traceWork(TRACE, spans)];
  expect(all.work.map(({ kind, name }) => [kind, name])).toEqual([
    ["tool", "bash"],
    ["tool", "build"],
  ]);
  expect(all).toEqual(without);
  const session = { status: "running" as const, generation: 1, createdAt: new Date(T0).toISOString() };
  const shown = (own: readonly SkeletonSpan[]) => {
    const traces = [{ traceId: TRACE, summary: undefined, spans: own }];
    return modelOf({ traces, records: [], traceOf: () => undefined }, session, undefined, []);
  };
  expect(shown(spans)).toEqual(shown(OWN));
});

test("they are in the waterfall as other work, and their time on the critical path is their tool's", () => {
  const [without, all] = [buildModel(TRACE, OWN), buildModel(TRACE, spans)];
  expect(all.order).toHaveLength(spans.length);
  for (const { span: each, kind, critical } of all.order) {
    if (each.isAdopted === true) expect([kind, critical]).toEqual(["other", []]);
    else expect(critical).toEqual(without.items.get(each.spanId)?.critical);
  }
});
