import { viewFailure } from "@valet/shared/protocol/failure";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { describe, expect, test } from "vitest";
import { follow, SUMMARY, turnEnded, UNHEARD_MS, workflowEnded } from "../../../test/attempts.ts";
import { inRooms } from "../../../test/rooms.ts";
import { linksOf, outcomeOf } from "../../../test/sandbox.ts";
import { INTERVALS } from "../../config.ts";

const { abortMs, stuckTurnMs } = INTERVALS;

test("a job that fails since its runner was lost again says what ended the runner, if that is known", () =>
  inRooms((rooms) => {
    follow(rooms);
    const lose = (cause?: "sandbox_out_of_memory") => rooms.run(() => rooms.queue.loseAll(false, rooms.nowMs, cause));
    for (const [id, cause] of [["m1", "sandbox_out_of_memory"], ["m2"]] as const) {
      rooms.message(id);
      rooms.accepted(id);
      lose();
      rooms.accepted(id);
      lose(cause);
      expect(rooms.job(id)).toMatchObject({ outcome: "error", errorType: "runner_lost" });
    }
    expect([rooms.job("m1").failure, rooms.job("m2").failure]).toEqual([{ cause: "sandbox_out_of_memory" }, null]);
    expect(rooms.spans("valet.prompt").map(({ attributes }) => attributes["valet.error.cause"])).toEqual([
      "sandbox_out_of_memory",
      undefined,
    ]);
    expect(viewFailure("runner_lost", rooms.job("m1").failure).message).toContain(
      "The cause is `sandbox_out_of_memory`: The sandbox reached its limit on memory",
    );
  }));

describe("a hello", () => {
  test("with a known attempt keeps it and resets its watchdog", () =>
    inRooms((rooms) => {
      const { hello } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      hello([attemptId]);
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["accepted", []]);
      expect(rooms.timers.dueMs("stuck", attemptId)).toBe(rooms.nowMs + 2 * stuckTurnMs);
    }));

  test("with an attempt that is being stopped sends the abort again", () =>
    inRooms((rooms) => {
      const { hello, attempts } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      rooms.linkFails = true;
      rooms.run(() => attempts.stop("steered", undefined));
      rooms.linkFails = false;
      hello([attemptId], true);
      expect(rooms.frames).toEqual([{ type: "abort", attemptId, reason: "steered" }]);
    }));

  test("without an attempt that was not accepted returns that to the queue", () =>
    inRooms((rooms) => {
      const { hello } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.dispatched("m1");
      hello([]);
      expect(rooms.attempt(attemptId).state).toBe("ended");
      expect(rooms.job("m1")).toMatchObject({ status: "queued", unaccepted: 1, lost: 0, notBeforeMs: rooms.nowMs });
    }));

  test("without an attempt that was accepted ends it as lost at the last frame of the runner before", () =>
    inRooms((rooms) => {
      const { hello } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      rooms.nowMs += 60_000;
      hello([]);
      expect(rooms.attempt(attemptId)).toMatchObject({ state: "ended", endedMs: rooms.nowMs - UNHEARD_MS });
      expect(rooms.job("m1")).toMatchObject({ status: "queued", lost: 1, reason: "runner_disconnected" });
      expect(rooms.recorded("attempt-ended")).toMatchObject([{ end: { outcome: "lost", errorType: "runner_lost" } }]);
    }));

  test("with an attempt that has ended, or is unknown, aborts it", () =>
    inRooms((rooms) => {
      const { hello } = follow(rooms);
      rooms.message("m1");
      rooms.message("m2", { channel: "y" });
      const [over, current] = [rooms.accepted("m1"), rooms.accepted("m2")];
      rooms.run(() => rooms.queue.stop(over, "session_terminated", undefined));
      rooms.run(() => rooms.queue.end(over, "aborted", undefined));
      hello([over, "att_unknown", current]);
      expect(rooms.frames).toEqual([
        { type: "abort", attemptId: over, reason: "session_terminated" },
        { type: "abort", attemptId: "att_unknown", reason: "user_abort" },
      ]);
      expect(rooms.attempt(current).state).toBe("accepted");
    }));

  test("after a broken link adds an event to running jobs; a first hello does not", () =>
    inRooms((rooms) => {
      const { hello, attempts } = follow(rooms);
      rooms.message("m1");
      rooms.message("queued");
      const attemptId = rooms.accepted("m1");
      hello([attemptId]);
      rooms.run(() => attempts.onLinkDown());
      hello([attemptId], true);
      const [worked, queued] = rooms.spans("valet.prompt").map(({ events }) => events.map(({ name }) => name));
      expect(worked).toEqual(["valet.runner.disconnected", "valet.runner.reconnected"]);
      expect(queued).toEqual([]);
    }));
});

describe("an end", () => {
  interface Case {
    readonly frame: Partial<FromRunnerOf<"turn-ended">>;
    readonly stop?: "user_abort" | "steered" | "session_terminated";
    readonly job: Record<string, unknown>;
    readonly end: readonly [outcome: string, errorType: string | undefined];
  }
  const ended = (outcome: string, errorType: string | null) => ({ status: "done", outcome, errorType });
  const CASES: Record<string, Case> = {
    "that is ok": { frame: {}, job: ended("ok", null), end: ["ok", undefined] },
    "that is ok, with a reason that nobody needs": {
      frame: { errorType: "model_error" },
      job: ended("ok", null),
      end: ["ok", undefined],
    },
    "that is ok though it was to stop": {
      frame: {},
      stop: "user_abort",
      job: ended("ok", null),
      end: ["ok", undefined],
    },
    "with an error that a runner may name": {
      frame: { outcome: "error", errorType: "stuck_turn" },
      job: ended("error", "stuck_turn"),
      end: ["error", "stuck_turn"],
    },
    "with an error that no runner knows of": {
      frame: { outcome: "error", errorType: "session_busy" },
      job: ended("error", "_OTHER"),
      end: ["error", "_OTHER"],
    },
    "with an error and no name for it": {
      frame: { outcome: "error" },
      job: ended("error", "_OTHER"),
      end: ["error", "_OTHER"],
    },
    "with an error though it was to stop": {
      frame: { outcome: "error", errorType: "stuck_turn" },
      stop: "user_abort",
      job: ended("error", "stuck_turn"),
      end: ["error", "stuck_turn"],
    },
    "by an abort that was asked for": {
      frame: { outcome: "aborted", errorType: "user_abort" },
      stop: "session_terminated",
      job: ended("aborted", "session_terminated"),
      end: ["aborted", "session_terminated"],
    },
    "by a message that steered": {
      frame: { outcome: "aborted", errorType: "steered" },
      stop: "steered",
      job: ended("superseded", "steered"),
      end: ["superseded", "steered"],
    },
    "by an abort that nobody has asked for": {
      frame: { outcome: "aborted", errorType: "user_abort" },
      job: ended("aborted", "user_abort"),
      end: ["aborted", "user_abort"],
    },
    "with the runner's own end, which others brought about": {
      frame: { outcome: "aborted", errorType: "runner_shutdown" },
      job: { status: "queued", lost: 1, reason: "runner_disconnected" },
      end: ["lost", "runner_lost"],
    },
    "with the end of the runner before it": {
      frame: { outcome: "error", errorType: "runner_lost" },
      job: { status: "queued", lost: 1, reason: "runner_disconnected" },
      end: ["lost", "runner_lost"],
    },
    "with the runner's end, when it was to stop": {
      frame: { outcome: "error", errorType: "runner_lost" },
      stop: "steered",
      job: ended("superseded", "steered"),
      end: ["superseded", "steered"],
    },
  };
  test.each(Object.entries(CASES))("%s", (_what, { frame, stop, job, end: [outcome, errorType] }) =>
    inRooms((rooms) => {
      const { receive, attempts, taken } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      if (stop !== undefined) rooms.run(() => attempts.stop(stop, undefined));
      rooms.frames.length = 0;
      receive(turnEnded(attemptId, frame));
      expect(rooms.job("m1")).toMatchObject(job);
      expect(taken).toEqual([[attemptId, "turn-ended"]]);
      expect(rooms.recorded("attempt-ended").map(({ end }) => [end.outcome, end.errorType, end.summary])).toEqual([
        [outcome, errorType, SUMMARY],
      ]);
      expect(rooms.frames).toEqual([{ type: "turn-ended-ack", attemptId }]);
    }),
  );

  test.each([
    ["runner_shutdown", "of all of its work", false],
    ["runner_lost", "of a part of it", true],
  ])("for %s tells the figures %s", (errorType, _what, isSummarySoFar) =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      const soFar = { ...SUMMARY, costUsd: 0.01 };
      rooms.run(() => rooms.queue.storeProgress(attemptId, soFar));
      receive(turnEnded(attemptId, { outcome: "aborted", errorType }));
      const summary = isSummarySoFar ? soFar : SUMMARY;
      expect(rooms.recorded("attempt-ended")).toMatchObject([{ end: { outcome: "lost", summary, isSummarySoFar } }]);
    }),
  );

  test("by a runner's own shutdown is at the current time; by a restart, at the last frame of the runner before", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      rooms.message("m2", { channel: "y" });
      const [own, other] = [rooms.accepted("m1"), rooms.accepted("m2")];
      rooms.nowMs += 60_000;
      receive(turnEnded(own, { outcome: "aborted", errorType: "runner_shutdown" }));
      receive(turnEnded(other, { outcome: "error", errorType: "runner_lost" }));
      expect([rooms.attempt(own).endedMs, rooms.attempt(other).endedMs]).toEqual([
        rooms.nowMs,
        rooms.nowMs - UNHEARD_MS,
      ]);
    }));

  test.each([
    ["sandbox_out_of_processes", { cause: "sandbox_out_of_processes" }],
    ["sandbox_out_of_memory", { cause: "sandbox_out_of_memory" }],
    // What a newer runner names, and no limit of a sandbox.
    ["later", null],
    ["provider_failed", null],
  ])(
    "with the end of the runner before it by %s: that is the cause, also if that one had said nothing",
    (cause, failure) =>
      inRooms((rooms) => {
        const { receive } = follow(rooms);
        rooms.message("m1");
        receive(turnEnded(rooms.dispatched("m1"), { outcome: "error", errorType: "runner_lost", cause }));
        expect(rooms.job("m1")).toMatchObject({ status: "queued", lost: 1 });
        receive(turnEnded(rooms.dispatched("m1"), { outcome: "error", errorType: "runner_lost", cause }));
        expect(rooms.job("m1")).toMatchObject({ outcome: "error", errorType: "runner_lost", failure });
        expect(rooms.recorded("attempt-ended").map(({ end }) => end.failure ?? null)).toEqual([failure, failure]);
        const [prompt] = rooms.spans("valet.prompt");
        expect(prompt?.attributes["valet.error.cause"]).toBe(failure?.cause);
      }),
  );

  test("that arrives before the acceptance implies it", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.dispatched("m1");
      receive(turnEnded(attemptId));
      expect(rooms.attempt(attemptId)).toMatchObject({ state: "ended", acceptedMs: rooms.nowMs });
      expect(rooms.spans("valet.prompt.dispatch").map(outcomeOf)).toEqual([["ok", undefined]]);
    }));

  test("without a summary leaves it unknown; with an error, the cause is stored", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      const { summary: _unknown, ...frame } = turnEnded(attemptId, {
        outcome: "error",
        errorType: "models_exhausted",
        cause: "rate_limited",
        causeOf: "valet/a",
      });
      receive(frame);
      expect(rooms.recorded("attempt-ended")[0]?.end.summary).toBeUndefined();
      expect(rooms.job("m1").failure).toMatchObject({ of: "valet/a" });
    }));

  test("that arrives again is acknowledged again, and counts once", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      receive(turnEnded(attemptId));
      receive(turnEnded(attemptId, { outcome: "error", errorType: "stuck_turn" }));
      expect(rooms.sent("turn-ended-ack")).toHaveLength(2);
      expect(rooms.recorded("attempt-ended")).toHaveLength(1);
      expect(rooms.job("m1").outcome).toBe("ok");
    }));

  test("acknowledges the span frame that it carries, also of an attempt that has ended, unless that cannot be stored", () =>
    inRooms((rooms) => {
      const { receive, spans } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      const carried = { instanceId: "run_1", seq: 3, otlp: "" };
      receive(turnEnded(attemptId, { spans: carried }));
      receive(turnEnded(attemptId, { spans: carried }));
      receive(turnEnded("att_unknown", { spans: { ...carried, seq: 4 } }));
      spans.areStored = false;
      receive(turnEnded(attemptId, { spans: { ...carried, seq: 5 } }));
      expect(rooms.sent("turn-ended-ack")).toEqual([
        { type: "turn-ended-ack", attemptId, spans: { instanceId: "run_1", seq: 3 } },
        { type: "turn-ended-ack", attemptId, spans: { instanceId: "run_1", seq: 3 } },
        { type: "turn-ended-ack", attemptId: "att_unknown", spans: { instanceId: "run_1", seq: 4 } },
        { type: "turn-ended-ack", attemptId },
      ]);
      expect(rooms.recorded("attempt-ended")).toHaveLength(1);
    }));

  test("is acknowledged only after the commit, not after a rollback", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      rooms.message("m1");
      const attemptId = rooms.accepted("m1");
      rooms.beforeCommit = () => {
        expect(rooms.frames).toEqual([]);
        throw new Error("no");
      };
      expect(() => receive(turnEnded(attemptId))).toThrow("no");
      expect([rooms.attempt(attemptId).state, rooms.frames]).toEqual(["accepted", []]);
    }));

  test("of a workflow has the outcome of its steps, including those of an earlier attempt", () =>
    inRooms((rooms) => {
      const { receive } = follow(rooms);
      const record = (id: string, index: number, outcome: "ok" | "error") =>
        rooms.run(() => rooms.workflows.record(id, { index, status: "done", outcome }));
      for (const id of ["well", "ill", "unfinished"]) rooms.workflow(id, { channel: id });
      const ids = ["well", "ill", "unfinished"].map((id) => rooms.accepted(id)) as [string, string, string];
      for (const index of [0, 1]) record("well", index, "ok");
      record("ill", 0, "error");
      record("unfinished", 0, "ok");
      receive(workflowEnded(ids[0]));
      receive(workflowEnded(ids[1], { outcome: "error", errorType: "workflow_step_failed" }));
      receive(workflowEnded(ids[2]));
      const jobs = ["well", "ill", "unfinished"].map((id) => rooms.job(id));
      expect(jobs.map(({ outcome, errorType }) => [outcome, errorType])).toEqual([
        ["ok", null],
        ["error", "workflow_step_failed"],
        ["error", "_OTHER"],
      ]);
      expect(jobs[1]?.failure).toMatchObject({ of: "build" });
    }));
});

describe("a stop", () => {
  test("stops one channel or all, sends the reason to the runner, and counts attempts that were not being stopped", () =>
    inRooms((rooms) => {
      const { attempts } = follow(rooms);
      rooms.message("m1", { channel: "x" });
      rooms.message("m2", { channel: "y" });
      const [first, second] = [rooms.accepted("m1"), rooms.dispatched("m2")];
      const cause = { context: rooms.job("m2").context };
      expect(rooms.run(() => attempts.stop("steered", cause, "x"))).toBe(1);
      expect(rooms.frames).toEqual([{ type: "abort", attemptId: first, reason: "steered" }]);
      expect(rooms.run(() => attempts.stop("user_abort", undefined))).toBe(1);
      expect(rooms.sent("abort").map(({ attemptId, reason }) => [attemptId, reason])).toEqual([
        [first, "steered"],
        [second, "user_abort"],
      ]);
      expect(rooms.attempt(first).stop).toEqual({ reason: "steered", cause: cause.context });
      rooms.pass(abortMs);
      expect([rooms.job("m1").outcome, rooms.job("m2").outcome]).toEqual(["superseded", "aborted"]);
      const [prompt] = rooms.spans("valet.prompt");
      expect(linksOf(prompt, "caused_by")).toEqual([cause.context.spanId]);
    }));

  test("of queued jobs ends them with its reason; running ones continue", () =>
    inRooms((rooms) => {
      const { attempts } = follow(rooms);
      for (const id of ["m1", "m2"]) rooms.message(id);
      rooms.workflow("w1", { channel: "y" });
      const attemptId = rooms.accepted("m1");
      expect(rooms.run(() => attempts.endQueued("aborted", "session_terminated"))).toBe(2);
      expect(rooms.attempt(attemptId).state).toBe("accepted");
      for (const id of ["m2", "w1"]) {
        expect(rooms.job(id)).toMatchObject({ status: "done", outcome: "aborted", errorType: "session_terminated" });
      }
      expect(rooms.run(() => attempts.endQueued("aborted", "session_terminated"))).toBe(0);
    }));
});
