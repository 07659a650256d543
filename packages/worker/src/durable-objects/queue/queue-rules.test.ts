import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BatchLimits, planQueue, type QueueConditions, type WaitingJob } from "./queue-rules.ts";

const LIMITS: BatchLimits = { messages: 10, bytes: 1000, attachments: 5, collectMaxMs: 500 };
const READY: QueueConditions = {
  state: "running",
  wasReady: true,
  runnerReady: true,
  isInLine: false,
  busy: new Set(),
};
const NOW = 10_000;

let seq = 0;
function message(more: Partial<WaitingJob> = {}): WaitingJob {
  seq++;
  return {
    id: `m${seq}`,
    seq,
    channel: "main",
    mode: "followup",
    source: "user",
    initial: false,
    notBeforeMs: 0,
    waitingSinceMs: NOW,
    sizeBytes: 10,
    attachments: 0,
    asksFor: "",
    ...more,
  };
}

function collected(count: number, notBeforeMs: number, more: Partial<WaitingJob> = {}): WaitingJob[] {
  return Array.from({ length: count }, () => message({ mode: "collect", notBeforeMs, ...more }));
}

function plan(waiting: readonly WaitingJob[], conditions: Partial<QueueConditions> = {}, nowMs = NOW) {
  const { dispatches, reasons, dueMs } = planQueue(waiting, { ...READY, ...conditions }, LIMITS, nowMs);
  return {
    dispatches: dispatches.map(({ messages }) => messages.map(({ id }) => id)),
    reasons: Object.fromEntries(reasons),
    dueMs,
  };
}

describe("what is dispatched", () => {
  test("the first of each channel, one at a time", () => {
    const [a, b, c] = [message(), message(), message({ channel: "other" })];
    expect(plan([a, b, c])).toMatchObject({ dispatches: [[a.id], [c.id]], reasons: { [b.id]: "runner_busy" } });
  });

  test("nothing in a channel with a turn in flight", () => {
    const [a, b] = [message(), message({ channel: "other" })];
    expect(plan([a, b], { busy: new Set(["main"]) })).toMatchObject({ dispatches: [[b.id]] });
  });

  test("a message that the runner refused not before its time; it keeps its place", () => {
    const [a, b] = [message({ notBeforeMs: NOW + 100 }), message()];
    const reasons = { [a.id]: "runner_busy", [b.id]: "runner_busy" };
    expect(plan([a, b])).toEqual({ dispatches: [], reasons, dueMs: NOW + 100 });
    expect(plan([a, b], {}, NOW + 100).dispatches).toEqual([[a.id]]);
  });

  test("what steers before what was there first; among themselves in order", () => {
    const [a, b, c] = [message(), message({ mode: "steer" }), message({ mode: "steer" })];
    expect(plan([a, b, c]).dispatches).toEqual([[b.id]]);
    expect(plan([a, c]).dispatches).toEqual([[c.id]]);
  });
});

describe("a batch", () => {
  test("closes when its last message has waited long enough, and is dispatched whole", () => {
    const batch = [...collected(1, NOW + 50), ...collected(1, NOW + 100)];
    const ids = batch.map(({ id }) => id);
    expect(plan(batch)).toMatchObject({
      dispatches: [],
      dueMs: NOW + 100,
      reasons: { [ids[0] ?? ""]: "collect_debounce" },
    });
    expect(plan(batch, {}, NOW + 100).dispatches).toEqual([ids]);
  });

  test("does not stay open for ever, however many follow", () => {
    const batch = collected(3, NOW + 10_000, { waitingSinceMs: NOW - LIMITS.collectMaxMs });
    expect(plan(batch).dispatches).toEqual([batch.map(({ id }) => id)]);
  });

  test("ends where a message of another mode comes", () => {
    const [a, b] = collected(2, NOW);
    const [c, d] = [message(), ...collected(1, NOW)];
    expect(plan([a, b, c, d] as WaitingJob[]).dispatches).toEqual([[a?.id, b?.id]]);
  });

  test.each([
    ["messages", {}],
    ["bytes", { sizeBytes: 100 }],
    ["attachments", { attachments: 1 }],
  ] as const)("is dispatched at once when it is full of %s", (limit, more) => {
    const perMessage = { messages: 1, bytes: 100, attachments: 1 }[limit];
    const batch = collected(LIMITS[limit] / perMessage + 1, NOW + 10_000, more);
    const { dispatches } = plan(batch);
    expect(dispatches).toEqual([batch.slice(0, -1).map(({ id }) => id)]);
  });

  test("gathers on while its channel is busy", () => {
    const batch = collected(2, NOW - 1000);
    expect(plan(batch, { busy: new Set(["main"]) })).toMatchObject({
      dispatches: [],
      reasons: { [batch[0]?.id ?? ""]: "runner_busy" },
      dueMs: undefined,
    });
  });
});

describe("why a message waits", () => {
  test.each<[Partial<QueueConditions>, Partial<WaitingJob>, string]>([
    [{ state: "starting" }, {}, "sandbox_starting"],
    [{ state: "starting" }, { initial: true }, "initial_prompt"],
    [{ state: "hibernating" }, {}, "sandbox_hibernated"],
    [{ state: "hibernated" }, {}, "sandbox_hibernated"],
    [{ state: "restoring" }, { initial: true }, "sandbox_restoring"],
    [{ state: "recovering" }, {}, "runner_disconnected"],
    [{ state: "recovering", wasReady: false }, {}, "sandbox_starting"],
    [{ state: "recovering", wasReady: false }, { initial: true }, "initial_prompt"],
    [{ runnerReady: false }, {}, "runner_disconnected"],
    [{ busy: new Set(["main"]) }, {}, "runner_busy"],
    [{ busy: new Set(["main"]) }, { source: "system" }, "system_message"],
    [{ state: "hibernated" }, { source: "system" }, "sandbox_hibernated"],
    [{ state: "starting" }, { mode: "collect", notBeforeMs: NOW + 1 }, "sandbox_starting"],
  ])("%j %j: %s", (conditions, more, reason) => {
    const one = message(more);
    expect(plan([one], conditions)).toEqual({ dispatches: [], reasons: { [one.id]: reason }, dueMs: undefined });
  });
});

test("whatever waits is either dispatched or has a reason, and never two of a channel are dispatched", () => {
  const anyMessage = fc.record({
    channel: fc.constantFrom("a", "b", "c"),
    mode: fc.constantFrom("followup" as const, "steer" as const, "collect" as const),
    source: fc.constantFrom("user" as const, "system" as const),
    notBeforeMs: fc.integer({ min: NOW - 100, max: NOW + 100 }),
    sizeBytes: fc.integer({ min: 1, max: 1000 }),
    asksFor: fc.constantFrom("", "a"),
    attachments: fc.integer({ min: 0, max: 5 }),
  });
  const anyConditions = fc.record({
    state: fc.constantFrom("running" as const, "starting" as const, "hibernated" as const),
    wasReady: fc.boolean(),
    runnerReady: fc.boolean(),
    isInLine: fc.constant(false),
    busy: fc.subarray(["a", "b", "c"]).map((channels) => new Set(channels)),
  });
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 30 }), anyConditions, (drawn, conditions) => {
      const waiting = drawn.map((more) => message(more));
      const { dispatches, reasons } = planQueue(waiting, conditions, LIMITS, NOW);
      const dispatched = dispatches.flatMap(({ messages }) => messages.map(({ id }) => id));
      expect([...dispatched, ...reasons.keys()].sort()).toEqual(waiting.map(({ id }) => id).sort());
      expect(new Set(dispatches.map(({ channel }) => channel)).size).toBe(dispatches.length);
      for (const { channel, messages } of dispatches) {
        expect(conditions.busy.has(channel) || conditions.state !== "running" || !conditions.runnerReady).toBe(false);
        expect(messages.length === 1 || messages.every(({ mode }) => mode === "collect")).toBe(true);
        expect(new Set(messages.map(({ asksFor }) => asksFor)).size).toBe(1);
      }
    }),
  );
});
