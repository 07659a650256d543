import type { SessionStatus } from "@valet/shared/protocol/session-view";
import type { QueueReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { IDLE_TIMEOUT_MS, inRooms, type Rooms } from "../../../test/rooms.ts";
import { linksOf } from "../../../test/sandbox.ts";
import { schedule } from "../../../test/schedule.ts";
import { INTERVALS } from "../../config.ts";
import type { SessionPatch } from "../core/session-state.ts";

const { queueWatchdogMs } = INTERVALS;

/** The messages of each dispatch that was sent, in order. */
const sentIds = (rooms: Rooms) => rooms.sent("prompt").map(({ dispatch }) => dispatch.messageIds);

const context = (digit: string): SpanContext => ({
  traceId: digit.repeat(32),
  spanId: digit.repeat(16),
  traceFlags: 1,
  traceState: "",
  isRemote: false,
});

/** An operation under way, as a session's record has it. */
const operation = (kind: "spawn" | "restore" | "hibernate"): SessionPatch => ({
  operation: { id: "op_1", kind, step: "booting", startedMs: 1, context: context("7") },
});

describe("a queued job", () => {
  /** The reason of a wait, and what the wait is linked to. */
  const waitOf = (rooms: Rooms, id: string) => {
    const [wait] = rooms.spans("valet.queue.wait").filter(({ attributes }) => attributes["valet.message.id"] === id);
    const reasons = wait?.events.map(({ attributes }) => attributes["valet.queue.reason"]);
    return { reason: rooms.job(id).reason, reasons, on: linksOf(wait, "waited_on") };
  };

  test.each<[QueueReason, SessionPatch, string | undefined]>([
    ["sandbox_starting", { state: "starting", ...operation("spawn") }, "7"],
    ["sandbox_restoring", { state: "restoring", ...operation("restore") }, "7"],
    ["sandbox_hibernated", { state: "hibernating", ...operation("hibernate") }, "7"],
    ["sandbox_hibernated", { state: "hibernated", snapshot: { id: "snap_1", madeBy: context("8") } }, "8"],
    ["runner_disconnected", { state: "recovering" }, undefined],
    ["runner_disconnected", { link: { state: "grace", instances: [], ready: true } }, undefined],
  ])("says %s, and is linked to that once", (reason, patch, on) =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.change(patch);
      rooms.message("a");
      for (let turn = 0; turn < 3; turn++) pump();
      const expected = on === undefined ? [] : [on.repeat(16)];
      expect(waitOf(rooms, "a")).toEqual({ reason, reasons: [reason], on: expected });
    }),
  );

  test("links to the turn that it waits for; only the next job links to later turns", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      for (const id of ["a", "b", "c", "d"]) rooms.message(id);
      pump();
      const first = rooms.attempt(rooms.job("a").attemptId as string);
      for (const id of ["b", "c", "d"]) {
        expect(waitOf(rooms, id)).toMatchObject({ reason: "runner_busy", on: [first.context.spanId] });
      }
      rooms.run(() => rooms.queue.end(first.id, "ok", undefined, null));
      pump();
      const second = rooms.attempt(rooms.job("b").attemptId as string);
      expect(waitOf(rooms, "c").on).toEqual([first.context.spanId, second.context.spanId]);
      expect(waitOf(rooms, "d").on).toEqual([first.context.spanId]);
    }));

  test("has a reason of its own as a system message and as the first message", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.change({ state: "starting", ...operation("spawn") });
      rooms.message("first", { initial: true });
      rooms.message("report", { source: "system" });
      pump();
      expect([waitOf(rooms, "first").reason, waitOf(rooms, "report").reason]).toEqual([
        "initial_prompt",
        "sandbox_starting",
      ]);
      rooms.change({ state: "running", operation: undefined });
      pump();
      expect(waitOf(rooms, "report").reasons).toEqual(["sandbox_starting", "system_message"]);
    }));

  test("records its place in the line for a sandbox, and each new one, at the head of its channel", () =>
    inRooms((rooms) => {
      const { pump, scheduler } = schedule(rooms);
      rooms.change({ state: "starting", ...operation("spawn") });
      rooms.line.place = 3;
      rooms.message("a", { channel: "x" });
      rooms.message("b", { channel: "x" });
      rooms.message("c", { channel: "y" });
      pump();
      rooms.changes.take();
      rooms.run(() => scheduler.onPlace(2));
      expect(rooms.changes.take().jobs).toEqual(["a", "c"]);
      const places = rooms
        .spans("valet.queue.wait")
        .map((span) => [
          span.attributes["valet.message.id"],
          span.events.map(({ attributes }) => attributes["valet.capacity.place"]),
          linksOf(span, "waited_on"),
        ]);
      const on = ["7".repeat(16)];
      expect(places).toEqual([
        ["a", [3, 2], on],
        ["b", [3], on],
        ["c", [3, 2], on],
      ]);
    }));

  test("with another reason has no place in that line", () =>
    inRooms((rooms) => {
      const { pump, scheduler } = schedule(rooms);
      rooms.message("a");
      rooms.message("b");
      pump();
      rooms.changes.take();
      rooms.run(() => scheduler.onPlace(2));
      expect(rooms.changes.take().jobs).toEqual([]);
    }));
});

describe("a sandbox", () => {
  const STATES: readonly SessionStatus[] = [
    ...(["created", "starting", "running", "hibernating", "hibernated"] as const),
    ...(["restoring", "recovering", "error", "terminating", "terminated"] as const),
  ];
  test.each(STATES)("is started, or not, if a message waits and the session is %s", (state) =>
    inRooms((rooms) => {
      const { pump, starts } = schedule(rooms);
      rooms.change({ state, link: { state: "gone", instances: [], ready: false } });
      rooms.message("a");
      pump();
      expect(starts).toHaveLength(state === "hibernated" || state === "error" ? 1 : 0);
    }),
  );

  test("is started for the first queued job, and caused by all of them", () =>
    inRooms((rooms) => {
      const { pump, starts } = schedule(rooms);
      rooms.change({ state: "hibernated" });
      const causes = [rooms.message("a").context, rooms.workflow("w", { channel: "y" }).context];
      pump();
      expect(starts).toEqual([{ reason: "message_waiting", causes, messageId: "a" }]);
    }));

  test("is started for a workflow by its execution's id", () =>
    inRooms((rooms) => {
      const { pump, starts } = schedule(rooms);
      rooms.change({ state: "hibernated" });
      const { context } = rooms.workflow("w");
      pump();
      expect(starts).toEqual([{ reason: "message_waiting", causes: [context], executionId: "w" }]);
    }));

  test("is not started if no job waits", () =>
    inRooms((rooms) => {
      const { pump, starts } = schedule(rooms);
      rooms.change({ state: "hibernated" });
      pump();
      expect(starts).toEqual([]);
    }));
});

describe("the timer", () => {
  test("of a batch is due when the batch closes, and is cleared with it", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.message("a", { mode: "collect", notBeforeMs: rooms.nowMs + 1000 });
      pump();
      expect(rooms.timers.dueMs("collect")).toBe(rooms.nowMs + 1000);
      rooms.run(() => rooms.queue.closeBatches());
      pump();
      expect([rooms.timers.dueMs("collect"), sentIds(rooms)]).toEqual([undefined, [["a"]]]);
    }));

  test("of a waiting queue runs from the beginning of the wait, and repeats", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.loseLink();
      rooms.message("a");
      pump();
      const dueMs = rooms.nowMs + queueWatchdogMs;
      rooms.pass(queueWatchdogMs / 2);
      rooms.message("b");
      pump();
      expect(rooms.timers.dueMs("queue")).toBe(dueMs);
      rooms.pass(queueWatchdogMs / 2);
      expect(rooms.timers.dueMs("queue")).toBe(dueMs + queueWatchdogMs);
      // Nobody told the queue that the link is back.
      rooms.run(() => rooms.state.updateLink({ state: "connected", connectionId: "con_2" }));
      rooms.pass(queueWatchdogMs);
      expect(sentIds(rooms)).toEqual([["a"]]);
    }));

  test("of a queue is cleared with the last queued job", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      rooms.loseLink();
      rooms.message("a");
      pump();
      rooms.run(() => rooms.queue.endQueued("a", "aborted", "user_abort"));
      pump();
      expect(rooms.timers.dueMs("queue")).toBeUndefined();
    }));

  test("of an idle session runs from the beginning of idleness until there is work", () =>
    inRooms((rooms) => {
      const { pump, scheduler, busy } = schedule(rooms);
      pump();
      const sinceMs = rooms.nowMs;
      rooms.pass(60_000);
      pump();
      expect([rooms.timers.dueMs("idle"), scheduler.idleSinceMs]).toEqual([sinceMs + IDLE_TIMEOUT_MS, sinceMs]);
      rooms.message("a");
      pump();
      expect([rooms.timers.dueMs("idle"), scheduler.idleSinceMs]).toEqual([undefined, undefined]);
      const attemptId = rooms.job("a").attemptId as string;
      rooms.run(() => rooms.queue.accepted(attemptId));
      pump();
      expect(scheduler.idleSinceMs).toBeUndefined();
      rooms.pass(5000);
      rooms.run(() => rooms.queue.end(attemptId, "ok", undefined, null));
      pump();
      expect(scheduler.idleSinceMs).toBe(rooms.nowMs);
      expect(busy).toEqual([false, false, true, true, false]);
    }));

  test("of an idle session runs neither in other states nor while a job waits", () =>
    inRooms((rooms) => {
      const { pump } = schedule(rooms);
      pump();
      rooms.loseLink();
      rooms.message("a");
      pump();
      expect(rooms.timers.dueMs("idle")).toBeUndefined();
      rooms.run(() => rooms.queue.endQueued("a", "aborted", "user_abort"));
      rooms.change({ state: "hibernating" });
      pump();
      expect(rooms.timers.dueMs("idle")).toBeUndefined();
    }));

  test("does not make a session idle whose runner is disconnected", () =>
    inRooms((rooms) => {
      const { pump, scheduler } = schedule(rooms);
      pump();
      rooms.loseLink();
      pump();
      expect([rooms.timers.dueMs("idle"), scheduler.idleSinceMs]).toEqual([rooms.nowMs + IDLE_TIMEOUT_MS, undefined]);
    }));
});
