import { type OpenSpan, type ReadableSpan, SpanKind, serialiseSpan, Tracer } from "@valet/shared/tracing";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { GONE, outcomeOf } from "../../../test/sandbox.ts";
import { TestSession, valueIn } from "../../../test/session.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import { SignsOfLife } from "./signs-of-life.ts";

describe("a hard stop", () => {
  test("ends a turn at its runner's last frame, where the next wait begins", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { dispatch } = await runner.next("prompt");
    const { traceId, spanId } = await session.onlySpan("valet.prompt.dispatch");
    const tracer = new Tracer({ scope: { name: "runner" }, processor: { onStart: () => {}, onEnd: () => {} } });
    const turn = tracer.startSpan("valet.turn", {
      kind: SpanKind.CONSUMER,
      parent: { traceId, spanId, traceFlags: 1, traceState: "", isRemote: true },
      attributes: { "valet.session.id": session.id },
    });
    const span = serialiseSpan(turn as unknown as ReadableSpan as OpenSpan);
    runner.send({ type: "attempt-accepted", attemptId: dispatch.attemptId, span });
    await session.messageIs(id, { status: "accepted" });
    const acceptedMs = Date.now();
    let heardMs = 0;
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      vi.setSystemTime(acceptedMs + 4000);
      heardMs = Date.now();
      runner.send({ type: "working", attemptId: dispatch.attemptId });
      await session.view();
      await session.elapse("sign");
      // The object dies with its sockets, and lives again much later.
      vi.setSystemTime(heardMs + 43_000);
      await session.broker.script({ get: [GONE] });
      await session.evict("close");
      await eventually(async () => expect((await session.onlySpan("valet.turn")).isOpen).toBe(false));
    } finally {
      vi.useRealTimers();
    }
    const lost = await session.onlySpan("valet.turn");
    expect(outcomeOf(lost)).toEqual(["lost", "runner_lost"]);
    expect(lost.endNs / 1_000_000n).toBe(BigInt(heardMs));
    const waits = await session.spans("valet.queue.wait");
    expect(waits).toHaveLength(2);
    const again = waits.find(({ isOpen }) => isOpen);
    expect((again?.startNs ?? 0n) / 1_000_000n).toBe(BigInt(heardMs));
    expect(again?.events[0]?.attributes["valet.queue.reason"]).toBe("runner_disconnected");
    await eventually(async () => {
      const [record] = valueIn(await session.stub.turns()).turns;
      expect(record).toMatchObject({ outcome: "lost", ended_at: new Date(heardMs).toISOString() });
      expect(record?.turn_ms).toBeLessThan(10_000);
    });
  });
});

test("a transaction that is rolled back leaves the interval as it was: the work that begins next has one of its own", () => {
  let nowMs = 0;
  let dueMs: number | undefined;
  const undos: (() => void)[] = [];
  const signs = new SignsOfLife({
    state: {} as SessionState,
    timers: { set: (_kind: string, ms: number) => (dueMs = ms), dueMs: () => dueMs } as unknown as Timers,
    link: { lastSeenMs: () => nowMs },
    traces: { touch: () => {}, lastSeenMs: () => undefined },
    work: { isBusy: true },
    transactions: { onRollback: (undo) => void undos.push(undo) },
    now: () => nowMs,
  });
  signs.watch(true);
  const firstMs = dueMs;
  signs.watch(false);
  undos.length = 0;
  // Work begins, but is not stored; the timer of the work before is due later.
  nowMs = 500;
  signs.watch(true);
  for (const undo of undos) undo();
  dueMs = firstMs;
  nowMs = 900;
  signs.watch(true);
  expect(dueMs).toBe(900 + 1000);
});

/** Simulates work of this duration with a runner that sends frames all the time. @returns when signs were stored */
function signsOf(workMs: number): number[] {
  let nowMs = 0;
  let isWorking = true;
  let due: { ms: number; payload: string } | undefined;
  const stored: number[] = [];
  const signs = new SignsOfLife({
    state: { record: { link: { instanceId: "run_1", instances: ["run_1"] } } } as unknown as SessionState,
    timers: {
      set: (_kind: string, ms: number, { payload = "" } = {}) => {
        due = { ms: Math.ceil(ms), payload };
      },
      dueMs: () => due?.ms,
    } as unknown as Timers,
    link: { lastSeenMs: () => nowMs },
    traces: { touch: (_id, atMs = 0) => stored.push(atMs), lastSeenMs: () => stored.at(-1) },
    now: () => nowMs,
    transactions: { onRollback: () => {} },
    work: {
      get isBusy() {
        return isWorking;
      },
    },
  });
  signs.watch(true);
  while (due !== undefined && due.ms <= workMs) {
    const { ms, payload } = due;
    nowMs = ms;
    due = undefined;
    signs.timerHandlers.sign("", payload);
    // What happens in the meantime changes nothing.
    signs.watch(true);
  }
  nowMs = workMs;
  isWorking = false;
  signs.watch(false);
  signs.timerHandlers.sign("", due?.payload ?? "");
  return stored;
}

test("a stop at any time loses at most a second, a quarter of the work, or ten seconds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3_600_000 }), (workMs) => {
      const last = signsOf(workMs).at(-1) ?? 0;
      expect(workMs - last).toBeLessThanOrEqual(Math.max(1001, Math.min(10_001, workMs / 4 + 1)));
    }),
  );
});

test("an hour of work costs some hundred commits, a second of work none", () => {
  expect(signsOf(999)).toEqual([]);
  expect(signsOf(4_000)).toHaveLength(4);
  expect(signsOf(3_600_000).length).toBeLessThan(380);
});
