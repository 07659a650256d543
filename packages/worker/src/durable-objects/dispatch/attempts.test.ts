import type { FromRunner } from "@valet/shared/protocol/runner-link";
import { type OpenSpan, type ReadableSpan, type SpanContext, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { follow, turnEnded, workflowEnded } from "../../../test/attempts.ts";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import { outcomeOf } from "../../../test/sandbox.ts";
import { INTERVALS } from "../../config.ts";
import type { AttemptFrame } from "../link/frame-router.ts";

const { retryMs, stuckTurnMs } = INTERVALS;

/** A frame of each type about an attempt. */
function everyFrame(attemptId: string): readonly AttemptFrame[] {
  const part = { id: "p", type: "text", text: "hi" } as const;
  return [
    { type: "attempt-accepted", attemptId },
    { type: "attempt-refused", attemptId, errorType: "runner_shutdown" },
    { type: "part", attemptId, part } as Extract<FromRunner, { type: "part" }>,
    { type: "part-delta", attemptId, delta: { id: "p", from: 2, text: "!" } } as never,
    { type: "working", attemptId },
    { type: "permission-asked", attemptId, permissionId: "per_1", permission: "bash", detail: "ls" },
    {
      type: "question-asked",
      attemptId,
      questionId: "que_1",
      questions: [{ question: "?", header: "h", options: [] }],
    } as AttemptFrame,
    turnEnded(attemptId),
    { type: "workflow-step", attemptId, state: { index: 0, status: "running" } },
    workflowEnded(attemptId),
  ];
}
const FRAME_TYPES = everyFrame("att_1").map(({ type }) => type);
const frameOf = (type: AttemptFrame["type"], attemptId: string) =>
  everyFrame(attemptId).find((frame) => frame.type === type) as AttemptFrame;

/** An open span as a runner announces it. */
function openSpan(name: string, parent: SpanContext | undefined): string {
  const tracer = new Tracer({ scope: { name: "runner" }, processor: { onStart: () => {}, onEnd: () => {} } });
  return serialiseSpan(tracer.startSpan(name, { parent }) as unknown as ReadableSpan as OpenSpan);
}

describe("a frame about an attempt", () => {
  /** How an attempt can be over, or not be at all. */
  const OVER: [string, (rooms: Rooms) => string, string][] = [
    ["is not known", () => "att_unknown", "user_abort"],
    [
      "has ended",
      (rooms) => {
        const id = rooms.accepted("m1");
        rooms.run(() => rooms.queue.end(id, "ok", undefined, null));
        return id;
      },
      "user_abort",
    ],
    [
      "was taken back",
      (rooms) => {
        const id = rooms.dispatched("m1");
        rooms.run(() => rooms.queue.takeBack(id, "not_accepted", 0));
        return id;
      },
      "user_abort",
    ],
    [
      "was stopped and has ended",
      (rooms) => {
        const id = rooms.accepted("m1");
        rooms.run(() => rooms.queue.stop(id, "steered", undefined));
        rooms.run(() => rooms.queue.end(id, "aborted", undefined));
        return id;
      },
      "steered",
    ],
  ];
  describe.each(OVER)("that %s", (_state, make, reason) => {
    test.each(FRAME_TYPES)("changes nothing: %s", (type) =>
      inRooms((rooms) => {
        const { receive, taken, announced } = follow(rooms);
        rooms.message("m1");
        const attemptId = make(rooms);
        const before = [rooms.jobs.attempt(attemptId), rooms.job("m1"), rooms.events.length];
        receive(frameOf(type, attemptId));
        expect([rooms.jobs.attempt(attemptId), rooms.job("m1"), rooms.events.length]).toEqual(before);
        expect([taken, announced]).toEqual([[], []]);
        // An end comes until it is acknowledged; what is begun though it is over is to stop.
        if (type === "turn-ended" || type === "workflow-ended") {
          expect(rooms.frames).toEqual([{ type: "turn-ended-ack", attemptId }]);
        } else if (type === "attempt-accepted") {
          expect(rooms.frames).toEqual([{ type: "abort", attemptId, reason }]);
        } else expect(rooms.frames).toEqual([]);
      }),
    );
  });

  test.each(["part", "part-delta", "permission-asked", "question-asked", "workflow-step"] as const)(
    "that is worked on goes to the conversation, and is a sign of life: %s",
    (type) =>
      inRooms((rooms) => {
        const { receive, taken } = follow(rooms);
        rooms.message("m1");
        const attemptId = rooms.accepted("m1");
        receive(frameOf(type, attemptId));
        expect(taken).toEqual([[attemptId, type]]);
        expect(rooms.timers.dueMs("stuck", attemptId)).toBe(rooms.nowMs + 2 * stuckTurnMs);
        expect(rooms.attempt(attemptId).state).toBe("accepted");
      }),
  );

  test("about a running attempt that is `working` has no further effect", () =>
    inRooms((rooms) => {
      const { receive, taken } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      receive({ type: "working", attemptId });
      expect(taken).toEqual([]);
      expect(rooms.timers.dueMs("stuck", attemptId)).toBe(rooms.nowMs + 2 * stuckTurnMs);
    }));

  test("about an attempt without a received acceptance is handled all the same", () =>
    inRooms((rooms) => {
      const { receive, taken } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.dispatched("m1");
      receive(frameOf("part", attemptId));
      expect([taken, rooms.attempt(attemptId).state]).toEqual([[[attemptId, "part"]], "dispatched"]);
    }));
});

describe("the beginning of a command's step", () => {
  const begun = (attemptId: string) =>
    ({ type: "workflow-step", attemptId, state: { index: 1, status: "running" }, waits: true }) as const;

  test("is acknowledged after it is stored, and again for each repeated frame", () =>
    inRooms((rooms) => {
      const { receive, taken, output } = follow(rooms);
      rooms.workflow("w1");
      const attemptId = rooms.accepted("w1");
      for (const isNew of [true, false]) {
        output.isNew = isNew;
        receive(begun(attemptId));
      }
      expect(taken).toHaveLength(2);
      expect(rooms.frames).toEqual(Array(2).fill({ type: "workflow-step-ack", attemptId, index: 1 }));
    }));

  test("proves the acceptance, so that a runner which does not know the attempt has lost it", () =>
    inRooms((rooms) => {
      const { receive, hello } = follow(rooms);
      rooms.workflow("w1");
      const attemptId = rooms.dispatched("w1");
      receive(begun(attemptId));
      expect(rooms.attempt(attemptId).state).toBe("accepted");
      expect(rooms.timers.dueMs("stuck", attemptId)).toBe(rooms.nowMs + 2 * stuckTurnMs);
      hello([]);
      expect(rooms.job("w1").lost).toBe(1);
    }));

  test("is not acknowledged, and aborts the attempt, if that is over", () =>
    inRooms((rooms) => {
      const { receive, taken } = follow(rooms);
      rooms.workflow("w1");
      const attemptId = rooms.accepted("w1");
      rooms.run(() => rooms.queue.lose(attemptId, false, rooms.nowMs));
      receive(begun(attemptId));
      expect([taken, rooms.frames]).toEqual([[], [{ type: "abort", attemptId, reason: "user_abort" }]]);
    }));
});

describe("an acceptance", () => {
  test("ends the dispatch and starts the watchdog of the turn", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.dispatched("m1");
      rooms.timers.set("accept", rooms.nowMs + 1000, { key: attemptId });
      rooms.nowMs += 300;
      receive({ type: "attempt-accepted", attemptId });
      expect(rooms.attempt(attemptId)).toMatchObject({ state: "accepted", acceptedMs: rooms.nowMs });
      expect(rooms.job("m1").status).toBe("accepted");
      expect(rooms.spans("valet.prompt.dispatch").map(outcomeOf)).toEqual([["ok", undefined]]);
      expect(rooms.timers.dueMs("accept", attemptId)).toBeUndefined();
      expect(rooms.timers.dueMs("stuck", attemptId)).toBe(rooms.nowMs + 2 * stuckTurnMs);
    }));

  test("that arrives again changes nothing and announces no span", () =>
    inRooms((rooms) => {
      const { receive, announced } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.dispatched("m1");
      receive({ type: "attempt-accepted", attemptId });
      const first = rooms.attempt(attemptId);
      rooms.nowMs += 1000;
      receive({ type: "attempt-accepted", attemptId, span: openSpan("valet.turn", first.context) });
      expect([rooms.attempt(attemptId), announced, rooms.frames]).toEqual([first, [], []]);
    }));
});

describe("a span that is announced", () => {
  const cases: [string, "message" | "workflow", string, (own: SpanContext) => SpanContext | undefined, number][] = [
    ["the turn below its dispatch", "message", "valet.turn", (own) => own, 1],
    ["the execution below its dispatch", "workflow", "valet.workflow.execute", (own) => own, 1],
    ["another name", "message", "valet.workflow.execute", (own) => own, 0],
    ["a turn where a workflow is worked on", "workflow", "valet.turn", (own) => own, 0],
    ["another parent of the same trace", "message", "valet.turn", (own) => ({ ...own, spanId: "1".repeat(16) }), 0],
    ["the parent of another trace", "message", "valet.turn", (own) => ({ ...own, traceId: "1".repeat(32) }), 0],
    ["no parent", "message", "valet.turn", () => undefined, 0],
  ];
  test.each(cases)("with the acceptance: %s", (_what, kind, name, parentOf, count) =>
    inRooms((rooms) => {
      const { receive, announced } = follow(rooms);
      if (kind === "message") rooms.message("j1");
      else rooms.workflow("j1");
      const attemptId = rooms.dispatched("j1");
      receive({
        type: "attempt-accepted",
        attemptId,
        span: openSpan(name, parentOf(rooms.attempt(attemptId).context)),
      });
      expect(announced).toEqual(count === 0 ? [] : [["run_1", name]]);
      expect(rooms.attempt(attemptId).state).toBe("accepted");
    }),
  );

  test.each<[string, string, (own: SpanContext) => SpanContext, boolean, number]>([
    ["a step of the attempt's trace", "valet.workflow.step build", (own) => own, true, 1],
    ["a step that was told before", "valet.workflow.step build", (own) => own, false, 0],
    ["another name", "valet.turn", (own) => own, true, 0],
    ["another trace", "valet.workflow.step build", (own) => ({ ...own, traceId: "1".repeat(32) }), true, 0],
  ])("with a step: %s", (_what, name, parentOf, isNew, count) =>
    inRooms((rooms) => {
      const { receive, announced, output } = follow(rooms);
      output.isNew = isNew;
      rooms.workflow("w1");
      const attemptId = rooms.accepted("w1");
      const span = openSpan(name, parentOf(rooms.attempt(attemptId).context));
      receive({ type: "workflow-step", attemptId, state: { index: 0, status: "running" }, span });
      expect(announced).toHaveLength(count);
    }),
  );

  test("that is invalid, or comes from an unknown instance, is ignored", () =>
    inRooms((rooms) => {
      const { receive, announced } = follow(rooms);
      rooms.message("m1");
      rooms.message("m2");
      receive({ type: "attempt-accepted", attemptId: rooms.dispatched("m1"), span: "{" });
      const attemptId = rooms.dispatched("m2");
      rooms.run(() => rooms.state.updateLink({ instanceId: undefined }));
      receive({ type: "attempt-accepted", attemptId, span: openSpan("valet.turn", rooms.attempt(attemptId).context) });
      expect(announced).toEqual([]);
    }));
});

describe("a refusal", () => {
  test("returns the message to the queue with a growing pause, and fails it the third time", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const refuse = () =>
        receive({ type: "attempt-refused", attemptId: rooms.dispatched("m1"), errorType: "runner_shutdown" });
      refuse();
      expect(rooms.job("m1")).toMatchObject({ status: "queued", notBeforeMs: rooms.nowMs + retryMs });
      refuse();
      expect(rooms.job("m1")).toMatchObject({ status: "queued", notBeforeMs: rooms.nowMs + 2 * retryMs });
      refuse();
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "error", errorType: "not_accepted" });
      expect(rooms.frames).toEqual([]);
    }));

  test("of an invalid workflow ends it", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.workflow("w1");
      receive({ type: "attempt-refused", attemptId: rooms.dispatched("w1"), errorType: "workflow_invalid" });
      expect(rooms.job("w1")).toMatchObject({ status: "done", outcome: "error", errorType: "workflow_invalid" });
    }));

  test("of an attempt that is being stopped ends it as stopped", () =>
    inRooms((rooms) => {
      const { receive, attempts } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.dispatched("m1");
      rooms.run(() => attempts.stop("user_abort", undefined));
      receive({ type: "attempt-refused", attemptId, errorType: "runner_shutdown" });
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "aborted", errorType: "user_abort" });
    }));
});
