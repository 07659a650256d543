import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Schemas } from "../api/client.ts";
import { formatDuration } from "../format/duration.ts";
import { barsOf } from "./geometry.ts";
import { gapText, type KnownTrace, modelOf, stretchesOf } from "./model.ts";
import { moved, selectedPlace, selectionOf } from "./places.ts";
import { ticksOf } from "./ticks.ts";
import { viewOf } from "./view.ts";
import { wantedTraces } from "./wanted.ts";

const T0 = Date.UTC(2026, 10, 25, 9);
const iso = (ms: number) => new Date(ms).toISOString();
const session = { status: "running" as const, generation: 1, createdAt: iso(T0) };
const TRACE = "a".repeat(32);

function span(
  id: number,
  name: string,
  startMs: number,
  endMs: number | undefined,
  more: Partial<SkeletonSpan> = {},
): SkeletonSpan {
  const endUs = endMs === undefined ? undefined : endMs * 1000;
  return {
    spanId: id.toString(16).padStart(16, "0"),
    name,
    kind: 1,
    startUs: startMs * 1000,
    endUs,
    isError: false,
    isSealed: false,
    links: [],
    ...more,
  };
}
const idOf = (id: number) => id.toString(16).padStart(16, "0");

function record(
  message: string,
  startMs: number,
  endMs: number,
  more: Partial<Schemas["TurnRecord"]> = {},
): Schemas["TurnRecord"] {
  return {
    attempt_id: `att ${message}`,
    message_ids: [message],
    trace_id: TRACE,
    message_trace_id: TRACE,
    channel: "main",
    attempt: 1,
    outcome: "ok",
    dispatched_at: iso(startMs),
    ended_at: iso(endMs),
    queue_wait_ms: 0,
    queue_reasons: [],
    files_changed: null,
    cost_usd: null,
    tokens_input: null,
    tokens_cache_read: null,
    ...more,
  } as Schemas["TurnRecord"];
}
const known = (traces: readonly KnownTrace[], records: readonly Schemas["TurnRecord"][] = []) => ({
  traces,
  records,
  traceOf: () => undefined,
});
const traceOf = (spans: readonly SkeletonSpan[], traceId = TRACE): KnownTrace => ({
  traceId,
  summary: undefined,
  spans,
});

test.each([-47, 47])("the work of a runner whose clock is %i minutes off is drawn in its turn", (minutes) => {
  const [first, second] = [T0 + 36e5, T0 + 36e5 * 1.5];
  const off = minutes * 60_000;
  const turn = (id: number, at: number) => [
    span(id, "valet.prompt", at, at + 9000),
    span(id + 1, "valet.prompt.dispatch", at, at + 30, { parentSpanId: idOf(id), outcome: "ok" }),
    span(id + 2, "valet.turn", at + 10 + off, at + 9000 + off, { parentSpanId: idOf(id + 1) }),
    span(id + 3, "chat m", at + 1000 + off, at + 3000 + off, { parentSpanId: idOf(id + 2) }),
    span(id + 4, "execute_tool bash", at + 4000 + off, at + 8000, { parentSpanId: idOf(id + 2), isSealed: true }),
  ];
  const traces = [traceOf(turn(1, first)), traceOf(turn(11, second), "b".repeat(32))];
  const ids = { trace_id: "b".repeat(32), message_trace_id: "b".repeat(32) };
  const records = [record("one", first, first + 9000), record("two", second, second + 9000, ids)];
  const { lanes } = modelOf(known(traces, records), session, undefined, []);
  const work = lanes.flatMap(({ items }) => items.filter(({ spanId, isShell }) => spanId !== undefined && !isShell));
  const drawn = work.map(({ name, messageId, startMs, endMs }) => {
    const at = messageId === "one" ? first : second;
    return [name, messageId, Math.round((startMs - at) / 1000), Math.round(((endMs ?? 0) - at) / 1000)];
  });
  // Of a sealed span that is ahead the end is not known: it had not begun by the session's clock.
  const sealed = minutes < 0 ? 8 : 4;
  expect(drawn).toEqual([
    ["m", "one", 1, 3],
    ["bash", "one", 4, sealed],
    ["m", "two", 1, 3],
    ["bash", "two", 4, sealed],
  ]);
});

describe("any spans", () => {
  const NAMES = [
    "valet.turn",
    "chat model",
    "execute_tool bash",
    "valet.question.wait",
    "valet.retry.wait",
    "valet.sandbox.spawn",
    "valet.sandbox.hibernate",
    "__proto__",
    "invoke_agent build",
  ];
  const spans = fc.array(
    fc.record({
      name: fc.constantFrom(...NAMES),
      // Clocks may be hours off, and an end may lie before its start.
      startMs: fc.integer({ min: -36e5 * 5, max: 36e5 * 48 }),
      lasted: fc.option(fc.integer({ min: -5000, max: 36e5 }), { freq: 6 }),
      // Parents may be missing, themselves, or in a circle.
      parent: fc.option(fc.integer({ min: 0, max: 40 })),
      isError: fc.boolean(),
      isSealed: fc.boolean(),
    }),
    { maxLength: 40 },
  );
  test("give lanes in order, without negative times or widths, and ticks that do not overlap", () => {
    fc.assert(
      fc.property(spans, fc.integer({ min: 200, max: 3000 }), (all, width) => {
        const made = all
          .map(({ name, startMs, lasted, parent, isError, isSealed }, index) =>
            span(index, name, T0 + startMs, lasted === null ? undefined : T0 + startMs + lasted, {
              parentSpanId: parent === null ? undefined : idOf(parent),
              isError,
              isSealed,
            }),
          )
          .sort((a, b) => a.startUs - b.startUs);
        const nowMs = T0 + 36e5 * 24;
        const model = modelOf(known([traceOf(made)], [record("msg", T0, T0 + 36e5)]), session, undefined, []);
        const stretches = stretchesOf(model, nowMs);
        const view = viewOf(stretches, undefined, width);
        for (const lane of model.lanes) {
          lane.items.forEach((item, index) => {
            expect(item.endMs ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(item.startMs);
            expect(item.startMs).toBeGreaterThanOrEqual(lane.items[index - 1]?.startMs ?? Number.NEGATIVE_INFINITY);
            expect(item.row).toBeLessThan(lane.rows);
          });
          expect(new Set(lane.items.map(({ id }) => id)).size).toBe(lane.items.length);
          for (const bar of barsOf(lane, view, nowMs)) {
            expect(bar.x).toBeGreaterThanOrEqual(-0.001);
            expect(bar.width).toBeGreaterThan(0);
            expect(bar.x + bar.width).toBeLessThanOrEqual(width + 2);
          }
        }
        const ticks = ticksOf(view, () => 0);
        expect(ticks.every(({ x }, index) => x > (ticks[index - 1]?.x ?? -1))).toBe(true);
        const shown = all.filter(({ name }) => /^(chat|execute_tool|valet\.(question|retry))/.test(name)).length;
        const placed = model.lanes.flatMap(({ items }) => items.filter(({ id }) => id.startsWith(TRACE)));
        expect(placed).toHaveLength(shown);
      }),
    );
  });
});

describe("a session", () => {
  const turn = span(1, "valet.turn", T0 + 1010, T0 + 60_000);
  const chat = span(2, "chat big", T0 + 2000, T0 + 9000, { parentSpanId: idOf(1) });
  const wait = span(3, "valet.retry.wait", T0 + 4000, T0 + 6000, { parentSpanId: idOf(2) });
  const [left, right] = [4, 5].map((id) =>
    span(id, `execute_tool ${id}`, T0 + 9000 + id, T0 + 20_000, { parentSpanId: idOf(1), isError: id === 5 }),
  ) as [SkeletonSpan, SkeletonSpan];
  const turns = [
    record("msg_1", T0 + 1000, T0 + 60_000, {
      cost_usd: 0.5,
      tokens_input: 100,
      tokens_cache_read: 40,
      queue_wait_ms: 700,
      queue_reasons: ["sandbox_starting"],
    }),
    record("msg_2", T0 + 36e5 * 9, T0 + 36e5 * 9 + 60_000, {
      channel: "review",
      trace_id: "b".repeat(32),
      message_trace_id: null,
      cost_usd: 0.25,
    }),
  ];
  const now = { running: [], queue: [] };
  const model = modelOf(known([traceOf([turn, chat, wait, left, right])], turns), session, now, []);
  const lane = (id: string) => model.lanes.find((each) => each.id === id);

  test("has a lane a channel; parallel calls lie below each other, a wait lies over its call", () => {
    expect(model.lanes.map(({ id }) => id)).toEqual(["lifecycle", "queue", "channel main", "channel review"]);
    const rows = lane("channel main")?.items.map(({ name, row, state }) => [name, row, state]);
    expect(rows).toEqual([
      ["turn 1", 0, "ok"],
      ["big", 0, "ok"],
      ["wait before a retry", 0, "ok"],
      ["4", 0, "ok"],
      ["5", 1, "failed"],
    ]);
  });

  test("says why a message waited, and what tokens and money came to at the end of each turn", () => {
    expect(lane("queue")?.items[0]).toMatchObject({ startMs: T0 + 300, endMs: T0 + 1000, name: "waited, starting" });
    expect(model.stems).toEqual([{ atMs: T0 + 60_000, input: 100, cached: 40, calls: 1, messageId: "msg_1" }]);
    expect(model.costs.map(({ usd }) => usd)).toEqual([0, 0.5, 0.75]);
  });

  test("finds what is selected elsewhere, and selects what is found", () => {
    const place = selectedPlace(model.lanes, { message: "msg_1", span: idOf(5) });
    expect(place?.item.name).toBe("5");
    expect(place && selectionOf(place)).toEqual({ message: "msg_1", span: idOf(5), trace: TRACE });
    // A trace alone is enough to find its turn.
    expect(selectedPlace(model.lanes, { trace: "b".repeat(32) })?.item.messageId).toBe("msg_2");
    expect(selectedPlace(model.lanes, { message: "msg_2" })?.item.name).toBe("turn 2");
    // Its spans are not read yet: its turn stands for it.
    expect(selectedPlace(model.lanes, { message: "msg_2", span: "f".repeat(16) })?.item.name).toBe("turn 2");
    expect(selectedPlace(model.lanes, { message: "msg_3" })).toBeUndefined();
  });

  test("is walked through by keys", () => {
    const first = selectedPlace(model.lanes, { message: "msg_1" });
    const names = ["ArrowRight", "End", "ArrowUp", "ArrowDown"].map(
      (key) => first && moved(model.lanes, first, key)?.item.name,
    );
    expect(first?.item.name).toBe("turn 1");
    expect(names).toEqual(["big", "5", "waited, starting", "turn 2"]);
  });

  test("folds the hours between its turns, and says what they were", () => {
    const nowMs = T0 + 36e5 * 9 + 70_000;
    const folded = stretchesOf(model, nowMs).filter(({ isFolded }) => isFolded);
    expect(folded).toHaveLength(1);
    expect(gapText(model, folded[0] as (typeof folded)[0], nowMs)).toBe(
      `idle ${formatDuration((8 * 60 + 59) * 60_000)}`,
    );
  });
});

test("a wait lies over the call that waits, though it was recorded a moment before", () => {
  const call = span(2, "execute_tool question", T0 + 2005, undefined, { parentSpanId: idOf(1) });
  const wait = span(3, "valet.question.wait", T0 + 2000, undefined, { parentSpanId: idOf(2) });
  const spans = [span(1, "valet.turn", T0 + 1000, undefined), wait, call];
  const lane = modelOf(known([traceOf(spans)], []), session, undefined, []).lanes.find(({ items }) =>
    items.some(({ spanId }) => spanId === idOf(3)),
  );
  expect(lane?.rows).toBe(1);
  expect(lane?.items.filter(({ isShell }) => !isShell).map(({ row }) => row)).toEqual([0, 0]);
});

test("work whose runner was lost is known up to its last sign of life", () => {
  const lost = (lastSeenMs: number | undefined) => {
    const call = span(2, "execute_tool bash", T0 + 2000, T0 + 90_000, {
      parentSpanId: idOf(1),
      isSealed: true,
      lastSeenMs,
    });
    const spans = [span(1, "valet.turn", T0 + 1000, T0 + 90_000, { isSealed: true, lastSeenMs }), call];
    const model = modelOf(known([traceOf(spans)], [record("msg_1", T0, T0 + 90_000)]), session, undefined, []);
    const lane = model.lanes.find(({ id }) => id === "channel main");
    const view = viewOf([{ startMs: T0, endMs: T0 + 100_000, isFolded: false }], undefined, 1016);
    const bar = lane && barsOf(lane, view, T0 + 100_000).find(({ item }) => item.name === "bash");
    return bar && [bar.item.state, bar.heardX === undefined ? undefined : Math.round(bar.heardX)];
  };
  expect(lost(T0 + 40_000)).toEqual(["lost", 400]);
  // Clocks differ: no sign of life is before the start or after the end.
  expect(lost(T0 - 5000)).toEqual(["lost", 20]);
  expect(lost(T0 + 36e5)).toEqual(["lost", 900]);
  expect(lost(undefined)).toEqual(["lost", undefined]);
});

test("the cost of a model call is a lower bound by its own usage, or by a failed try that may have been charged", () => {
  const usage = { input: 10, cached: undefined, costUsd: 0.5 };
  const call = (id: number, more: Partial<SkeletonSpan> = {}) =>
    span(id, `chat ${id}`, T0 + id * 2000, T0 + id * 2000 + 900, { parentSpanId: idOf(1), usage, ...more });
  const tryOf = (id: number, call: number, more: Partial<SkeletonSpan> = {}) =>
    span(id, "valet.llm.try", T0 + call * 2000, T0 + call * 2000 + 300, { parentSpanId: idOf(call), ...more });
  const isCostPartial = true;
  const spans = [
    span(1, "valet.turn", T0 + 1000, T0 + 90_000),
    ...[call(2), call(3, { isCostPartial }), call(4), call(5)],
    ...[tryOf(12, 2), tryOf(14, 4, { isCostPartial }), tryOf(15, 5, { isCostPartial, isAdopted: true })],
  ];
  const { lanes } = modelOf(known([traceOf(spans)], [record("msg_1", T0, T0 + 90_000)]), session, undefined, []);
  const calls = lanes.flatMap(({ items }) => items.filter(({ kind }) => kind === "model"));
  expect(calls.map((item) => [item.name, item.isCostPartial])).toEqual([
    ["2", false],
    ["3", true],
    ["4", true],
    ["5", false],
  ]);
});

test("a long wait within which other turns lie folds, and says how many", () => {
  const hour = 36e5;
  const wait = span(2, "valet.question.wait", T0 + 2000, T0 + 10 * hour, { parentSpanId: idOf(1) });
  const spans = [span(1, "valet.turn", T0 + 1000, T0 + 10 * hour), wait];
  const records = [
    record("msg_1", T0, T0 + 10 * hour),
    ...[1, 2].map((n) =>
      record(`msg_side_${n}`, T0 + hour, T0 + 9 * hour, {
        channel: `side ${n}`,
        trace_id: "b".repeat(32),
        message_trace_id: null,
      }),
    ),
  ];
  const model = modelOf(known([traceOf(spans)], records), session, undefined, []);
  const nowMs = T0 + 10 * hour;
  const [fold] = stretchesOf(model, nowMs).filter(({ isFolded }) => isFolded);
  expect(fold && gapText(model, fold, nowMs)).toMatch(/^waits for a person .* · 3 turns folded$/);
});

describe("the lifecycle", () => {
  const operations = (...all: readonly (readonly [name: string, startMs: number, endMs: number | undefined])[]) =>
    all.map(([name, startMs, endMs], index) =>
      traceOf([span(index + 1, name, startMs, endMs)], String(index).repeat(32)),
    );
  const states = (traces: readonly KnownTrace[], more: Partial<typeof session> = {}) =>
    modelOf(known(traces), { ...session, ...more }, undefined, []).lifecycle.map(({ state, generation }) => [
      state,
      generation,
    ]);

  test("follows the operations, and the status of now", () => {
    const traces = operations(
      ["valet.sandbox.spawn", T0, T0 + 5000],
      ["valet.sandbox.hibernate", T0 + 60_000, T0 + 61_000],
      ["valet.sandbox.restore", T0 + 90_000, T0 + 95_000],
    );
    expect(states(traces, { generation: 2 })).toEqual([
      ["starting", 1],
      ["running", 1],
      ["hibernating", 1],
      ["hibernated", 1],
      ["restoring", 2],
      ["running", 2],
    ]);
  });

  test("knows of the list of traces alone", () => {
    const summary = {
      traceId: TRACE,
      name: "valet.sandbox.spawn",
      startedAt: iso(T0),
      duration_ms: 5000,
      spans: 3,
      openSpans: 0,
      errors: 0,
    };
    expect(states([{ traceId: TRACE, summary, spans: [] }])).toEqual([
      ["starting", 1],
      ["running", 1],
    ]);
  });

  test("a sandbox that was replaced is lost from when its work was ended; without such a moment nobody knows", () => {
    const starts = operations(
      ["valet.sandbox.spawn", T0, T0 + 5000],
      ["valet.sandbox.spawn", T0 + 90_000, T0 + 95_000],
    );
    expect(states(starts, { generation: 2 }).map(([state]) => state)).toEqual([
      "starting",
      "unknown",
      "starting",
      "running",
    ]);
    const lastSeenMs = T0 + 60_000;
    const sealed = traceOf([span(9, "valet.turn", T0 + 6000, T0 + 80_000, { isSealed: true, lastSeenMs })]);
    const turn = record("msg_1", T0 + 6000, T0 + 80_000, { outcome: "lost" });
    const ofTurn = modelOf(known(starts, [turn]), { ...session, generation: 2 }, undefined, []).lifecycle;
    // Its spans may not have been read: then its end is what is known.
    expect(ofTurn.find(({ state }) => state === "lost")).toMatchObject({ startMs: T0 + 80_000, endMs: T0 + 90_000 });
    const { lifecycle } = modelOf(known([...starts, sealed], [turn]), { ...session, generation: 2 }, undefined, []);
    expect(lifecycle.find(({ state }) => state === "lost")).toMatchObject({ startMs: lastSeenMs, endMs: T0 + 90_000 });
    expect(states([...starts, sealed], { generation: 2 }).map(([state]) => state)).toEqual([
      "starting",
      "running",
      "lost",
      "starting",
      "running",
    ]);
  });

  test("starts that nobody knows of any more leave a part that is not known", () => {
    expect(states(operations(["valet.sandbox.restore", T0 + 90_000, T0 + 95_000]), { generation: 3 })).toEqual([
      ["unknown", undefined],
      ["restoring", 3],
      ["running", 3],
    ]);
  });
});

test("traces that are too small to be seen are not read; a selected one always is", () => {
  const nowMs = T0 + 36e5 * 100;
  const summary = (index: number, ms: number) => ({
    traceId: String(index).repeat(32),
    startedAt: iso(T0 + index * 36e5),
    duration_ms: ms,
    spans: 1,
    openSpans: 0,
    errors: 0,
  });
  const traces = [summary(1, 30 * 60_000), summary(2, 5), summary(3, 5)].map((each) => ({
    traceId: each.traceId,
    summary: each,
    spans: [],
  }));
  const view = viewOf([{ startMs: T0, endMs: nowMs, isFolded: false }], undefined, 1000);
  expect(wantedTraces(traces, view, nowMs, undefined)).toEqual([summary(1, 0).traceId]);
  expect(wantedTraces(traces, view, nowMs, summary(3, 0).traceId)).toEqual(
    [3, 1].map((index) => summary(index, 0).traceId),
  );
});
