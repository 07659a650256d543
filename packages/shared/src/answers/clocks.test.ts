import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SPANS, type SpanDefinition } from "../spans.ts";
import { type ClockSpan, clocksOf, clockTexts } from "./clocks.ts";

const MINUTE_US = 60_000_000;
const T = 1_800_000_000_000_000;

function span(spanId: string, name: string, parentSpanId?: string, times: Partial<ClockSpan> = {}): ClockSpan {
  return { spanId, name, parentSpanId, startUs: T, endUs: T + 5_000_000, outcome: "ok", ...times };
}

/** A message whose runner's clock is ahead by so much. */
function message(aheadUs: number, more: Partial<ClockSpan> = {}): ClockSpan[] {
  const at = (us: number) => ({ startUs: T + us + aheadUs, endUs: T + us + 3_000_000 + aheadUs });
  return [
    span("post", "POST /api/sessions/:id/messages", undefined, { endUs: T + 9000 }),
    span("prompt", "valet.prompt", "post"),
    span("dispatch", "valet.prompt.dispatch", "prompt", { startUs: T + 10_000, endUs: T + 40_000, ...more }),
    span("turn", "valet.turn", "dispatch", at(20_000)),
    span("chat", "chat m", "turn", at(30_000)),
    span("sent", "POST /api/sessions/:id/messages", "chat", { startUs: T + 1_000_000 }),
    span("job", "valet.prompt", "sent", { startUs: T + 1_001_000 }),
    span("tool", "execute_tool spawn_session", "turn", at(40_000)),
    span("spawn", "valet.child_session.spawn", "tool", { startUs: T + 50_000 }),
  ];
}

describe("a runner's clock", () => {
  test.each([
    ["behind", -47 * MINUTE_US, "about 47 m 00 s behind"],
    ["ahead of", 3 * 60 * MINUTE_US, "about 3 h 00 m ahead of"],
  ])(
    "that is %s the Worker's is reported, and the times of its spans can be converted to the Worker's clock",
    (_, aheadUs, text) => {
      const clocks = clocksOf(message(aheadUs));
      expect(clockTexts(clocks)).toEqual([
        `The runner's clock is ${text} the Worker's; its spans are shown by its own clock.`,
      ]);
      // As little as needed: the turn began within its dispatch.
      expect(Math.abs(clocks.shiftUs("chat") + aheadUs)).toBeLessThanOrEqual(30_000);
      expect(clocks.shiftUs("turn")).toBe(clocks.shiftUs("chat"));
      expect(["post", "prompt", "dispatch", "sent", "job", "spawn", "other"].map(clocks.shiftUs)).toEqual(
        Array(7).fill(0),
      );
    },
  );

  test("that differs by less than a second is not worth a word, nor is a turn that outlives its message", () => {
    for (const aheadUs of [0, -900_000, 900_000]) expect(clocksOf(message(aheadUs)).wrong).toEqual([]);
    const outlived = message(0).map((each) => (each.spanId === "prompt" ? { ...each, endUs: T + 50_000 } : each));
    expect(clocksOf(outlived).wrong).toEqual([]);
  });

  test("is not judged by a dispatch that failed or was aborted, that is open, or that a program of the agent has sent", () => {
    for (const outcome of ["error", "aborted", "superseded", undefined]) {
      expect(clocksOf(message(MINUTE_US, { outcome })).wrong).toEqual([]);
    }
    expect(clocksOf(message(MINUTE_US, { endUs: undefined })).wrong).toEqual([]);
    const adopted = message(-MINUTE_US).map((each) => (each.spanId === "turn" ? { ...each, isAdopted: true } : each));
    expect(clocksOf(adopted).wrong).toEqual([]);
  });
});

test("each of the Worker's spans that may be below a runner's has its own times", () => {
  const isOf = (name: string, ...emitters: string[]) =>
    (SPANS as Record<string, SpanDefinition>)[name]?.emitters.some((each) => emitters.includes(each)) === true;
  const below = Object.entries<SpanDefinition>(SPANS).flatMap(([name, { parents }]) =>
    isOf(name, "worker", "session-agent") && parents.some((parent) => isOf(parent, "runner")) ? [name] : [],
  );
  expect(below).toContain("valet.child_session.spawn");
  for (const name of below) {
    const spans = [...message(-MINUTE_US), span("own", name, "tool", { startUs: T + 60_000 })];
    expect([name, clocksOf(spans).shiftUs("own")]).toEqual([name, 0]);
  }
});

test("a broker's clock and a starting runner's are told, too", () => {
  const spans = [
    span("start", "valet.sandbox.spawn"),
    span("create", "valet.sandbox.create", "start"),
    span("call", "POST /v1/sandboxes", "create", { startUs: T - 2_000_000 }),
    span("boot", "valet.runner.bootstrap", "start", { startUs: T - MINUTE_US }),
  ];
  expect(clocksOf(spans).wrong).toEqual([
    { process: "broker", aheadMs: -2000 },
    { process: "runner", aheadMs: -60_000 },
  ]);
});

test("whatever the parents are, and however many spans are below each other, an answer comes", () => {
  const id = fc.integer({ min: 0, max: 9 }).map(String);
  const name = fc.constantFrom("valet.turn", "valet.prompt.dispatch", "valet.prompt", "chat m");
  const any = fc.record({ spanId: id, parentSpanId: id, name, startUs: fc.nat(9e6), endUs: fc.nat(9e6) });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 12 }), (all) => {
      const clocks = clocksOf(all.map((each) => ({ ...each, outcome: "ok" })));
      for (const { spanId } of all) expect(Number.isFinite(clocks.shiftUs(spanId))).toBe(true);
    }),
  );
  const chain = Array.from({ length: 50_000 }, (_, i) => span(`c${i}`, "work", i === 0 ? "turn" : `c${i - 1}`));
  const clocks = clocksOf([...message(-MINUTE_US), ...chain]);
  for (const { spanId } of chain.toReversed()) expect(clocks.shiftUs(spanId)).toBe(clocks.shiftUs("turn"));
});
