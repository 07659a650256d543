import { LIMITS } from "@valet/shared/limits";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import { outcomeOf } from "../../../test/sandbox.ts";
import { INTERVALS } from "../../config.ts";
import { Watchdogs } from "./watchdogs.ts";

const { acceptMs, abortMs, stuckTurnMs } = INTERVALS;
/** The object's own watchdog comes after the runner's. */
const STUCK_MS = 2 * stuckTurnMs;

function watch(rooms: Rooms) {
  /** Attempts that wait for a person. */
  const waiting = new Set<string>();
  const watchdogs = new Watchdogs({ ...rooms, intervals: INTERVALS, isWaitingForPerson: (id) => waiting.has(id) });
  rooms.timers.handle(watchdogs.timerHandlers);
  return { watchdogs, waiting };
}

/** A message whose attempt is about to be sent. */
function sent(rooms: Rooms, watchdogs: Watchdogs, id = "m1"): string {
  rooms.message(id);
  return dispatch(rooms, watchdogs, id);
}

function dispatch(rooms: Rooms, watchdogs: Watchdogs, id: string): string {
  const attemptId = rooms.dispatched(id);
  rooms.run(() => watchdogs.awaitAcceptance(attemptId));
  return attemptId;
}

/** A message whose attempt the runner has accepted. */
function accepted(rooms: Rooms, watchdogs: Watchdogs, id = "m1"): string {
  const attemptId = sent(rooms, watchdogs, id);
  rooms.run(() => {
    rooms.queue.accepted(attemptId);
    watchdogs.accepted(attemptId);
  });
  return attemptId;
}

describe("an attempt that is sent", () => {
  test("but not accepted in time is aborted at the runner, and its message is queued again", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = sent(rooms, watchdogs);
      rooms.pass(acceptMs - 1);
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["dispatched", []]);
      rooms.pass(1);
      expect(rooms.frames).toEqual([{ type: "abort", attemptId, reason: "user_abort" }]);
      expect(rooms.attempt(attemptId)).toMatchObject({ state: "ended", acceptedMs: null });
      expect(rooms.job("m1")).toMatchObject({ status: "queued", unaccepted: 1, notBeforeMs: rooms.nowMs });
      expect(rooms.recorded("attempt-ended")).toMatchObject([{ end: { outcome: "error", errorType: "not_accepted" } }]);
    }));

  test("three times without an acceptance fails, with its message", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      rooms.message("m1");
      for (let attempt = 1; attempt <= 3; attempt++) {
        expect(rooms.job("m1").status).toBe("queued");
        dispatch(rooms, watchdogs, "m1");
        rooms.pass(acceptMs);
      }
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "error", errorType: "not_accepted" });
      expect(rooms.spans("valet.prompt").map(outcomeOf)).toEqual([["error", "not_accepted"]]);
    }));

  test("is not sent again if a command may have begun", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      rooms.workflow("w1");
      dispatch(rooms, watchdogs, "w1");
      rooms.pass(acceptMs);
      expect(rooms.job("w1")).toMatchObject({ status: "done", outcome: "error", errorType: "not_accepted" });
      expect(rooms.sent("abort")).toHaveLength(1);
    }));

  test("and is being aborted meanwhile ends as aborted", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = sent(rooms, watchdogs);
      rooms.run(() => rooms.queue.stop(attemptId, "session_terminated", undefined));
      rooms.pass(acceptMs);
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "aborted", errorType: "session_terminated" });
    }));

  test("has no timeout while the link is down: its runner may have accepted it", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = sent(rooms, watchdogs);
      rooms.loseLink();
      rooms.pass(3 * acceptMs);
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["dispatched", []]);
      rooms.run(() => rooms.state.updateLink({ state: "connected", connectionId: "con_2" }));
      rooms.pass(acceptMs);
      expect(rooms.attempt(attemptId).state).toBe("ended");
    }));

  test.each([2_000, 3 * acceptMs])(
    "has all its time again if the object stood still with its machine for %d ms",
    (ms) =>
      inRooms((rooms) => {
        const { watchdogs } = watch(rooms);
        const attemptId = sent(rooms, watchdogs);
        rooms.nowMs += acceptMs + ms;
        rooms.timers.fire();
        expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["dispatched", []]);
        rooms.pass(acceptMs - 1);
        expect(rooms.attempt(attemptId).state).toBe("dispatched");
        rooms.pass(1);
        expect(rooms.job("m1")).toMatchObject({ status: "queued", unaccepted: 1 });
      }),
  );

  test("is not accepted by a timer of a version that did not store when it is due", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = sent(rooms, watchdogs);
      rooms.timers.set("accept", rooms.nowMs + acceptMs, { key: attemptId });
      rooms.nowMs += 2 * acceptMs;
      rooms.timers.fire();
      expect(rooms.attempt(attemptId).state).toBe("ended");
    }));

  test.each([
    ["accepted", (rooms: Rooms, id: string) => rooms.queue.accepted(id)],
    ["ended", (rooms: Rooms, id: string) => rooms.queue.end(id, "ok", undefined, null)],
  ])("and %s by then is left alone, even if its timer fires", (_state, change) =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = sent(rooms, watchdogs);
      rooms.run(() => change(rooms, attemptId));
      const before = rooms.attempt(attemptId);
      rooms.pass(acceptMs);
      expect(rooms.attempt(attemptId)).toEqual(before);
      expect(rooms.frames).toEqual([]);
    }),
  );
});

describe("an abort", () => {
  test("is sent with its reason after the commit, and ends the attempt if the runner does not", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.run(() => {
        rooms.queue.stop(attemptId, "steered", undefined);
        watchdogs.abort(attemptId, "steered");
        expect(rooms.frames).toEqual([]);
      });
      expect(rooms.frames).toEqual([{ type: "abort", attemptId, reason: "steered" }]);
      rooms.pass(abortMs - 1);
      expect(rooms.attempt(attemptId).state).toBe("accepted");
      rooms.pass(1);
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "superseded", errorType: "steered" });
    }));

  test("that is requested again is sent again, and keeps its timeout", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.run(() => rooms.queue.stop(attemptId, "user_abort", undefined));
      const abort = () => rooms.run(() => watchdogs.abort(attemptId, "user_abort"));
      abort();
      rooms.pass(abortMs / 2);
      abort();
      expect(rooms.sent("abort")).toHaveLength(2);
      rooms.pass(abortMs / 2);
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "aborted", errorType: "user_abort" });
    }));

  test("ends the attempt in time even if the link is down", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.loseLink();
      rooms.linkFails = true;
      rooms.run(() => rooms.queue.stop(attemptId, "user_abort", undefined));
      rooms.run(() => watchdogs.abort(attemptId, "user_abort"));
      rooms.pass(abortMs);
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["ended", []]);
    }));

  test("is neither sent nor watched after a rollback", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      const work = () =>
        rooms.run(() => {
          watchdogs.abort(attemptId, "user_abort");
          throw new Error("no");
        });
      expect(work).toThrow("no");
      expect([rooms.frames, rooms.timers.dueMs("abort", attemptId)]).toEqual([[], undefined]);
    }));
});

describe("a silent turn", () => {
  test("is stuck after its timeout: it is aborted at the runner, and fails", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.pass(STUCK_MS - 1);
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["accepted", []]);
      rooms.pass(1);
      expect(rooms.frames).toEqual([{ type: "abort", attemptId, reason: "stuck_turn" }]);
      expect(rooms.job("m1")).toMatchObject({ status: "done", outcome: "error", errorType: "stuck_turn" });
    }));

  test("is not stuck if the object stood still with its machine, and has all its time after that", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.nowMs += 3 * STUCK_MS;
      rooms.timers.fire();
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["accepted", []]);
      rooms.pass(STUCK_MS - 1);
      expect(rooms.attempt(attemptId).state).toBe("accepted");
      rooms.pass(1);
      expect(rooms.job("m1")).toMatchObject({ status: "done", errorType: "stuck_turn" });
    }));

  test("that came due shortly before the machine woke is stuck only if the runner stays silent after that, too", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const [silent, working] = [accepted(rooms, watchdogs), accepted(rooms, watchdogs, "m2")];
      rooms.nowMs += STUCK_MS + LIMITS.standstillMs / 2;
      rooms.timers.fire();
      expect([rooms.attempt(silent).state, rooms.attempt(working).state]).toEqual(["accepted", "accepted"]);
      rooms.run(() => watchdogs.touch(working));
      rooms.pass(LIMITS.standstillMs);
      expect([rooms.job("m1").errorType, rooms.attempt(working).state]).toEqual(["stuck_turn", "accepted"]);
      rooms.pass(STUCK_MS);
      expect(rooms.job("m2")).toMatchObject({ status: "done", errorType: "stuck_turn" });
    }));

  test("is stuck by a timer of a version that did not store when it is due", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.timers.set("stuck", rooms.nowMs + STUCK_MS, { key: attemptId });
      rooms.pass(STUCK_MS);
      expect(rooms.job("m1")).toMatchObject({ status: "done", errorType: "stuck_turn" });
    }));

  test("has its whole timeout again after each frame", () =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      rooms.pass(STUCK_MS - 1);
      rooms.run(() => watchdogs.touch(attemptId));
      rooms.pass(STUCK_MS - 1);
      expect(rooms.attempt(attemptId).state).toBe("accepted");
      rooms.pass(1);
      expect(rooms.attempt(attemptId).state).toBe("ended");
    }));

  test.each<[string, (rooms: Rooms, waiting: Set<string>, id: string) => void, (rooms: Rooms, w: Set<string>) => void]>(
    [
      ["while a person is waited for", (_rooms, waiting, id) => waiting.add(id), (_rooms, waiting) => waiting.clear()],
      [
        "while the link is down",
        (rooms) => rooms.loseLink(),
        (rooms) => rooms.run(() => rooms.state.updateLink({ state: "connected", connectionId: "con_2" })),
      ],
    ],
  )("is not stuck %s, and has all its time after that", (_why, begin, end) =>
    inRooms((rooms) => {
      const { watchdogs, waiting } = watch(rooms);
      const attemptId = accepted(rooms, watchdogs);
      begin(rooms, waiting, attemptId);
      rooms.pass(3 * STUCK_MS);
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["accepted", []]);
      end(rooms, waiting);
      rooms.pass(STUCK_MS);
      expect(rooms.attempt(attemptId).state).toBe("ended");
    }),
  );

  test.each([
    ["sent", (rooms: Rooms, watchdogs: Watchdogs) => sent(rooms, watchdogs)],
    [
      "over",
      (rooms: Rooms, watchdogs: Watchdogs) => {
        const id = sent(rooms, watchdogs);
        rooms.run(() => rooms.queue.end(id, "ok", undefined, null));
        return id;
      },
    ],
    ["unknown", () => "att_unknown"],
  ])("is not watched if the attempt is only %s", (_state, make) =>
    inRooms((rooms) => {
      const { watchdogs } = watch(rooms);
      const attemptId = make(rooms, watchdogs);
      rooms.run(() => watchdogs.touch(attemptId));
      expect(rooms.timers.dueMs("stuck", attemptId)).toBeUndefined();
    }),
  );

  test("costs few writes for any number of frames, and never counts as stuck too early", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: stuckTurnMs }), { maxLength: 60 }), (pauses) =>
        inRooms((rooms) => {
          const { watchdogs } = watch(rooms);
          const attemptId = accepted(rooms, watchdogs);
          const set = vi.spyOn(rooms.timers, "set");
          const startMs = rooms.nowMs;
          for (const pauseMs of pauses) {
            rooms.pass(pauseMs);
            rooms.run(() => watchdogs.touch(attemptId));
            const leftMs = (rooms.timers.dueMs("stuck", attemptId) ?? 0) - rooms.nowMs;
            expect(leftMs).toBeGreaterThanOrEqual(STUCK_MS - stuckTurnMs / 10);
            expect(leftMs).toBeLessThanOrEqual(STUCK_MS);
          }
          expect(set.mock.calls.length).toBeLessThanOrEqual((rooms.nowMs - startMs) / (stuckTurnMs / 10));
        }),
      ),
      { numRuns: 20 },
    ));
});

test("clearing an attempt stops its watchdogs, and no others", () =>
  inRooms((rooms) => {
    const { watchdogs } = watch(rooms);
    const [over, other] = [accepted(rooms, watchdogs), accepted(rooms, watchdogs, "m2")];
    rooms.run(() => {
      watchdogs.awaitAcceptance(over);
      watchdogs.abort(over, "user_abort");
      watchdogs.clear(over);
    });
    for (const kind of ["accept", "abort", "stuck"] as const)
      expect(rooms.timers.dueMs(kind, over), kind).toBeUndefined();
    expect(rooms.timers.dueMs("stuck", other)).toBeDefined();
  }));
