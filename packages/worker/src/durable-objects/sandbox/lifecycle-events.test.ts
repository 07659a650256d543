/** What the sandbox's life records, and in which order, with a broker that the test answers for. */
import type { SessionStatus } from "@valet/shared/protocol/session-view";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { Life } from "../../../test/lifecycle.ts";
import { outcomeOf } from "../../../test/sandbox.ts";
import { INTERVALS } from "../../config.ts";
import { NO_LINK, type SessionPatch } from "../core/session-state.ts";
import type { StartCause } from "./sandbox-start.ts";

const { startMs, stopMs, recoveryBackoffMs } = INTERVALS;
const START: StartCause = { reason: "message_waiting", causes: [] };
const CONTEXT = { traceId: "7".repeat(32), spanId: "8".repeat(16), traceFlags: 1, traceState: "", isRemote: false };
const SNAPSHOT = { id: "snap_0", madeBy: CONTEXT };
const NO_SANDBOX: SessionPatch = { sandbox: undefined, link: NO_LINK };

const inLife = (work: (life: Life) => void | Promise<void>, mustWait = false) =>
  inStorage((storage) => work(new Life(storage, mustWait)));

/** A session that has never had a sandbox. */
const NEW: SessionPatch = { ...NO_SANDBOX, state: "created", generation: 0, recovery: { attempts: 0, readyMs: 0 } };
/** A session whose runner is there, and whose sandbox was started. */
const RUNNING: SessionPatch = { startContext: CONTEXT };

describe("a start", () => {
  test("begins an empty generation, and ends when its runner is ready", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      expect(life.step((lifecycle) => lifecycle.start(START))).toEqual(["generation-began"]);
      expect(life.rooms.events).toEqual([{ type: "generation-began", isFresh: true }]);
      expect(life.argument).toMatchObject({ sessionId: life.rooms.state.record.id, generation: 1 });
      expect(life.argument).not.toHaveProperty("snapshotId");
      expect(life.rooms.state.record.link.state).toBe("connecting");
      expect(await life.boots()).toEqual([]);
      expect(life.rooms.state.record).toMatchObject({ state: "running", sandbox: { id: "box_1" } });
    }));

  test("from a snapshot begins a generation with its files", () =>
    inLife((life) => {
      life.rooms.change({ ...NO_SANDBOX, state: "hibernated", snapshot: SNAPSHOT });
      life.step((lifecycle) => lifecycle.start(START));
      expect(life.rooms.events).toEqual([{ type: "generation-began", isFresh: false }]);
      expect(life.argument).toMatchObject({ generation: 2, snapshotId: "snap_0" });
    }));

  test("calls the broker only after the commit", () =>
    inLife((life) => {
      life.rooms.change(NEW);
      const work = () =>
        life.step((lifecycle) => {
          lifecycle.start(START);
          throw new Error("no");
        });
      expect(work).toThrow("no");
      expect([life.calls, life.rooms.state.record.state]).toEqual([[], "created"]);
    }));

  test("that must wait begins its generation when it has a slot, once", () =>
    inLife((life) => {
      life.rooms.change(NEW);
      expect(life.step((lifecycle) => lifecycle.start(START))).toEqual([]);
      expect([life.calls, life.rooms.timers.dueMs("start")]).toEqual([[], undefined]);
      expect(life.step((lifecycle) => lifecycle.onTurn())).toEqual(["generation-began"]);
      expect(life.rooms.timers.dueMs("start")).toBe(life.rooms.nowMs + startMs);
      expect(life.step((lifecycle) => lifecycle.onTurn())).toEqual([]);
      expect(life.calls).toEqual(["create"]);
    }, true));

  test("that a full broker refuses waits again; its next slot begins another generation", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      expect(await life.answer("create", { failure: "capacity" })).toEqual([]);
      expect(life.rooms.state.record.operation).toMatchObject({ step: "waiting", refusals: 1 });
      expect(life.step((lifecycle) => lifecycle.onTurn())).toEqual(["generation-began"]);
      expect(life.rooms.state.record.generation).toBe(2);
    }));

  test("that fails before any runner was ready ends its generation, and is given up", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      await life.created();
      life.hello();
      life.stage("git_setup");
      expect(life.stage("failed", "git_clone_failed")).toEqual(["generation-ended", "gave-up"]);
      expect(life.rooms.events.slice(1)).toMatchObject([
        { keptFiles: true, runners: { instances: ["run_1"], instanceId: "run_1" } },
        { errorType: "git_clone_failed", failure: { stage: "git_setup", attempts: 1 } },
      ]);
      expect([life.rooms.state.record.state, life.orphans]).toEqual(["error", ["box_1"]]);
    }));

  test("whose deadline passes without an answer of the broker is retried, then given up for that", () =>
    inLife((life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      for (let attempt = 0; attempt < 4; attempt++) {
        expect(life.rooms.recorded("gave-up")).toEqual([]);
        life.rooms.timers.clear("operation");
        life.rooms.pass(startMs);
        life.rooms.pass(recoveryBackoffMs * 2 ** attempt);
      }
      expect(life.rooms.recorded("gave-up")).toMatchObject([{ errorType: "broker_timeout", failure: { attempts: 4 } }]);
    }));

  test("whose broker is away is retried; what fails with the broker there is not, and is the cause", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      for (const [attempt, failure] of (["broker_unreachable", "shutting_down"] as const).entries()) {
        expect(await life.answer("create", { failure })).toEqual(["generation-ended"]);
        expect(life.rooms.state.record.state).toBe("recovering");
        life.rooms.pass(recoveryBackoffMs * 2 ** attempt);
      }
      await life.created();
      life.hello();
      expect(life.stage("failed", "git_clone_failed")).toEqual(["generation-ended", "gave-up"]);
      expect(life.rooms.recorded("gave-up")).toMatchObject([
        { errorType: "git_clone_failed", failure: { stage: "git_setup", attempts: 3 } },
      ]);
    }));

  test("whose runner speaks another protocol is given up with both versions", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      await life.created();
      const protocols = { runner: 7, sessionAgent: 1 };
      expect(life.step((lifecycle) => lifecycle.onForeign(protocols))).toEqual(["generation-ended", "gave-up"]);
      expect(life.rooms.recorded("gave-up")).toMatchObject([
        { errorType: "protocol_unsupported", failure: { protocols } },
      ]);
    }));

  test("whose sandbox ended with the broker continues in another generation", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      await life.created();
      life.step((lifecycle) => lifecycle.onLinkDown());
      const found = { state: "stopped", stopReason: "broker_restarted" };
      expect(await life.answer("get", { sandbox: found })).toEqual(["generation-ended", "generation-began"]);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([{ keptFiles: true }]);
      expect([life.rooms.state.record.generation, life.orphans]).toEqual([2, ["box_1"]]);
      expect(life.rooms.spans("valet.sandbox.spawn")).toHaveLength(1);
    }));

  test("without an answer continues in another generation; a runner that has connected already ends", () =>
    inLife((life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      life.hello();
      expect(life.step((lifecycle) => lifecycle.resume())).toEqual([]);
      life.rooms.pass(0);
      expect(life.rooms.events.slice(1)).toMatchObject([
        { type: "generation-ended", runners: { instances: ["run_1"] } },
        { type: "generation-began" },
      ]);
      expect([life.rooms.state.record.generation, life.orphans]).toEqual([2, ["generation 1"]]);
    }));

  test.each<[string, (life: Life) => unknown]>([
    ["fails", (life) => life.answer("create", { failure: "start_failed" })],
    [
      "is lost with the broker",
      async (life) => {
        await life.created();
        life.step((lifecycle) => lifecycle.onLinkDown());
        await life.answer("get", { sandbox: { state: "stopped", stopReason: "broker_restarted" } });
      },
    ],
    [
      "is not answered",
      (life) => {
        life.step((lifecycle) => lifecycle.resume());
        life.rooms.pass(0);
      },
    ],
  ])("from a snapshot that %s leaves the files to the next", (_what, end) =>
    inLife(async (life) => {
      life.rooms.change({ ...NO_SANDBOX, state: "hibernated", snapshot: SNAPSHOT });
      life.step((lifecycle) => lifecycle.start(START));
      await end(life);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([{ keptFiles: true }]);
    }),
  );

  test("that is answered too late makes its sandbox an orphan, and records nothing", () =>
    inLife(async (life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      life.step((lifecycle) => lifecycle.terminate("requested", undefined));
      const late = { sandbox: { id: "box_late", driver: "local" } };
      expect(await life.answer("create", late)).toEqual([]);
      expect(life.orphans).toEqual(["box_late"]);
    }));
});

describe("a sandbox that is lost", () => {
  test("is replaced at once: its generation ends without files, and the next begins", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      life.rooms.loseLink();
      expect(life.step((lifecycle) => lifecycle.onLinkGone())).toEqual([]);
      expect(await life.answer("get", { failure: "not_found" })).toEqual(["generation-ended", "generation-began"]);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([
        { keptFiles: false, runners: { instances: ["run_1"] } },
      ]);
      expect(life.orphans).toEqual(["box_1"]);
    }));

  test("is given up after three failed starts, with the first one's reason and their number", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      life.rooms.loseLink();
      life.step((lifecycle) => lifecycle.onLinkGone());
      await life.answer("get", { failure: "not_found" });
      const failures = ["start_failed", "broker_error", "broker_error"] as const;
      for (const [n, failure] of failures.entries()) {
        const followed = await life.answer("create", { failure });
        expect(followed).toEqual(n < 2 ? ["generation-ended"] : ["generation-ended", "gave-up"]);
        life.rooms.pass(recoveryBackoffMs * 2 ** (n + 1));
      }
      expect(life.rooms.recorded("gave-up")).toMatchObject([{ errorType: "spawn_failed", failure: { attempts: 3 } }]);
      expect(life.rooms.recorded("generation-began")).toHaveLength(3);
      expect(life.rooms.state.record.state).toBe("error");
    }));

  test("keeps its files if only its runner is lost: the session hibernates", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      life.rooms.loseLink();
      life.step((lifecycle) => lifecycle.onLinkGone());
      expect(await life.answer("get", { sandbox: { state: "running" } })).toEqual(["runners-ended"]);
      expect(life.rooms.recorded("runners-ended")).toMatchObject([{ runners: { instances: ["run_1"] } }]);
      expect(await life.answer("snapshot", { snapshotId: "snap_1" })).toEqual([]);
      expect(await life.answer("terminate", { alreadyGone: false })).toEqual(["generation-ended", "hibernated"]);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([{ keptFiles: true }]);
      expect(life.rooms.recorded("stop-runner")).toEqual([]);
    }));

  test("whose runner is lost, and which is gone when the snapshot is tried again, ends without its files", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      life.rooms.loseLink();
      life.step((lifecycle) => lifecycle.onLinkGone());
      expect(await life.answer("get", { sandbox: { state: "running" } })).toEqual(["runners-ended"]);
      expect(await life.answer("snapshot", { failure: "snapshot_failed" })).toEqual([]);
      life.step((lifecycle) => lifecycle.hibernate("retry", undefined));
      expect(await life.answer("snapshot", { failure: "snapshot_failed" })).toEqual([]);
      life.step((lifecycle) => lifecycle.onLinkGone());
      expect(await life.answer("get", { sandbox: { state: "running" } })).toEqual([]);
      expect(await life.answer("snapshot", { failure: "snapshot_failed" })).toEqual([]);
      life.step((lifecycle) => lifecycle.onLinkGone());
      expect(await life.answer("get", { failure: "not_found" })).toEqual(["generation-ended", "generation-began"]);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([{ keptFiles: false }]);
    }));
});

describe("a hibernate", () => {
  const hibernate = (life: Life) => life.step((lifecycle) => lifecycle.hibernate("requested", undefined));

  test("closes batches first, stops the runner after the snapshot, and ends with its generation", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      expect(hibernate(life)).toEqual(["hibernating"]);
      expect(await life.answer("snapshot", { snapshotId: "snap_1" })).toEqual(["stop-runner"]);
      expect(life.rooms.recorded("stop-runner")).toEqual([{ type: "stop-runner", reason: "hibernate" }]);
      expect(life.step((lifecycle) => lifecycle.onStopped())).toEqual([]);
      expect(await life.answer("terminate", { alreadyGone: false })).toEqual(["generation-ended", "hibernated"]);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([
        { keptFiles: true, runners: { instances: ["run_1"] } },
      ]);
      expect(life.rooms.state.record).toMatchObject({ state: "hibernated", snapshot: { id: "snap_1" } });
      expect([life.calls, life.orphans]).toEqual([["snapshot", "terminate"], []]);
    }));

  test.each([
    ["leaves", (life: Life) => life.step((lifecycle) => lifecycle.onLinkDown())],
    ["does not stop in time", (life: Life) => life.rooms.pass(stopMs)],
  ])("continues if the runner %s", (_what, leave) =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      hibernate(life);
      await life.answer("snapshot", { snapshotId: "snap_1" });
      leave(life);
      expect(await life.answer("terminate", { alreadyGone: false })).toEqual(["generation-ended", "hibernated"]);
    }),
  );

  test("begins the next generation at once if somebody wakes the session meanwhile", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      hibernate(life);
      await life.answer("snapshot", { snapshotId: "snap_1" });
      expect(life.step((lifecycle) => lifecycle.wake({ context: CONTEXT }))).toEqual([]);
      life.step((lifecycle) => lifecycle.onStopped());
      const followed = await life.answer("terminate", { alreadyGone: false });
      expect(followed).toEqual(["generation-ended", "hibernated", "generation-began"]);
      expect(life.rooms.events.at(-1)).toEqual({ type: "generation-began", isFresh: false });
    }));

  test("records nothing more if work arrives before the runner is stopped", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      life.rooms.run(() => life.rooms.state.updateLink({ ready: true }));
      hibernate(life);
      life.work.hasWork = true;
      expect(await life.answer("snapshot", { snapshotId: "snap_1" })).toEqual([]);
      expect(life.rooms.state.record.state).toBe("running");
      expect(life.rooms.spans("valet.sandbox.hibernate").map(outcomeOf)).toEqual([["skipped", "session_busy"]]);
    }));

  test("without a snapshot leaves the session awake, and is retried", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      hibernate(life);
      expect(await life.answer("snapshot", { failure: "snapshot_failed" })).toEqual([]);
      const { state, sleepProblem } = life.rooms.state.record;
      expect([state, sleepProblem?.errorType]).toEqual(["running", "snapshot_failed"]);
      life.rooms.pass((sleepProblem?.retryMs ?? 0) - life.rooms.nowMs);
      expect(life.rooms.recorded("hibernating")).toHaveLength(2);
    }));

  test("of a sandbox that is gone ends the session", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      hibernate(life);
      expect(await life.answer("snapshot", { failure: "sandbox_gone" })).toEqual(["terminating", "stop-runner"]);
      expect(life.rooms.recorded("terminating")).toMatchObject([
        { asker: { context: { spanId: life.rooms.spans("valet.sandbox.hibernate")[0]?.spanId } } },
      ]);
    }));
});

describe("a terminate", () => {
  const terminate = (life: Life) => life.step((lifecycle) => lifecycle.terminate("requested", { context: CONTEXT }));

  test("records first that it begins, then stops the runner, and ends with its generation", () =>
    inLife(async (life) => {
      life.rooms.change({ ...RUNNING, snapshot: SNAPSHOT });
      expect(terminate(life)).toEqual(["terminating", "stop-runner"]);
      expect(life.rooms.events).toEqual([
        { type: "terminating", asker: { context: CONTEXT } },
        { type: "stop-runner", reason: "terminate" },
      ]);
      life.step((lifecycle) => lifecycle.onStopped());
      expect(await life.answer("terminate", { alreadyGone: false })).toEqual(["generation-ended", "terminated"]);
      expect(life.rooms.recorded("generation-ended")).toMatchObject([{ keptFiles: false }]);
      expect([life.rooms.state.record.state, life.orphans]).toEqual(["terminated", ["snap_0"]]);
    }));

  test("ends even if the broker is down; the sandbox is an orphan", () =>
    inLife(async (life) => {
      life.rooms.change(RUNNING);
      terminate(life);
      life.step((lifecycle) => lifecycle.onStopped());
      expect(await life.answer("terminate", { failure: "broker_unreachable" })).toEqual([
        "generation-ended",
        "terminated",
      ]);
      expect(life.orphans).toEqual(["box_1"]);
    }));

  test("stops no runner if none is connected", () =>
    inLife((life) => {
      life.rooms.change(RUNNING);
      life.rooms.loseLink();
      expect(terminate(life)).toEqual(["terminating"]);
      expect(life.calls).toEqual(["terminate"]);
    }));

  const WITHOUT: SessionStatus[] = ["created", "hibernated", "error", "recovering"];
  test.each(WITHOUT)("of a session that is %s, without a sandbox, ends at once", (state) =>
    inLife((life) => {
      life.rooms.change({ ...NO_SANDBOX, state });
      expect(terminate(life)).toEqual(["terminating", "generation-ended", "terminated"]);
      expect([life.rooms.state.record.state, life.calls]).toEqual(["terminated", []]);
    }),
  );

  test("replaces a start, and a hibernate", () =>
    inLife((life) => {
      life.rooms.change(NEW);
      life.step((lifecycle) => lifecycle.start(START));
      expect(terminate(life)).toEqual(["terminating", "generation-ended", "terminated"]);
      expect(life.rooms.spans("valet.sandbox.spawn").map(outcomeOf)).toEqual([["aborted", "session_terminated"]]);
    }));
});

describe("a refused or unexpected call records and changes nothing", () => {
  const STATES: readonly SessionStatus[] = [
    ...(["created", "starting", "running", "hibernating", "hibernated"] as const),
    ...(["restoring", "recovering", "error", "terminating", "terminated"] as const),
  ];
  const allBut = (...allowed: SessionStatus[]) => STATES.filter((state) => !allowed.includes(state));
  const refused: [string, readonly SessionStatus[], (life: Life) => unknown][] = [
    ["a start", allBut("created", "recovering", "error"), (life) => life.lifecycle.start(START)],
    ["a hibernate", allBut("running"), (life) => life.lifecycle.hibernate("requested", undefined)],
    ["a wake", ["terminating", "terminated"], (life) => life.lifecycle.wake(undefined)],
    ["a terminate", ["terminating", "terminated"], (life) => life.lifecycle.terminate("requested", undefined)],
    ["a turn", STATES, (life) => life.lifecycle.onTurn()],
    ["a runner that has stopped", STATES, (life) => life.lifecycle.onStopped()],
    [
      "a runner of another protocol",
      allBut("starting", "restoring"),
      (life) => life.lifecycle.onForeign({ runner: 7, sessionAgent: 1 }),
    ],
    [
      "a stage that failed",
      allBut("starting", "restoring", "running"),
      (life) => life.lifecycle.onStage({ type: "stage", stage: "failed" }),
    ],
    ["a link that is gone", allBut("running"), (life) => life.lifecycle.onLinkGone()],
  ];
  const cases = refused.flatMap(([what, states, work]) => states.map((state) => [what, state, work] as const));

  test.each(cases)("%s while it is %s", (_what, state, work) =>
    inLife((life) => {
      // Where there is none to restore, a start is a spawn.
      life.rooms.change({ ...RUNNING, state });
      const before = life.rooms.state.record;
      expect(life.step(() => work(life))).toEqual([]);
      expect([life.rooms.state.record, life.calls]).toEqual([before, []]);
    }),
  );

  test("a hibernate while a turn is running", () =>
    inLife((life) => {
      life.work.isBusy = true;
      let result: unknown;
      const followed = life.step((lifecycle) => {
        result = lifecycle.hibernate("requested", undefined);
      });
      expect([followed, life.calls]).toEqual([[], []]);
      expect(result).toMatchObject({ ok: false, problem: { status: 409 } });
    }));
});
