/** Restarts of the host, and sandboxes that end while no runner is connected: on the real object with a scripted broker. */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { boot, expectSound, GONE, linksOf, outcomeOf } from "../../../test/sandbox.ts";
import { TestSession, valueIn } from "../../../test/session.ts";

const LOST = { sandbox: { state: "stopped", stopReason: "broker_lost" } } as const;
const STOPPED = { sandbox: { state: "stopped", stopReason: "broker_stopped" } } as const;
const FAILED = { sandbox: { state: "stopped", stopReason: "entrypoint_failed" } } as const;

/** Returns when the object asks the broker for its sandbox again, in epoch ms. */
const checkDueMs = ({ stub }: TestSession) =>
  runInDurableObject(stub, (_object, { storage }) => {
    return storage.sql.exec("SELECT due_ms FROM timers WHERE kind = 'check'").one().due_ms as number;
  });

describe("a runner that is lost while its sandbox is running", () => {
  test("leaves its files: the session hibernates with them, and a message wakes it with them", async () => {
    const { session, runner } = await TestSession.running();
    runner.close();
    await eventually(async () => expect(await session.timers()).toContain("grace"));
    await session.elapse("grace");
    await session.reaches("hibernated");
    const [sleep] = await session.spans("valet.sandbox.hibernate");
    expect(outcomeOf(sleep)).toEqual(["ok", undefined]);
    expect(sleep?.attributes["valet.hibernate.reason"]).toBe("runner_lost");
    const id = await session.send("work");
    await session.reaches("restoring");
    const next = await boot(session);
    await next.end((await next.accept()).attemptId);
    await session.messageIs(id, { outcome: "ok", attempts: 1 });
    await expectSound(session);
  });

  test("is not given up if the broker does not know its state: the object asks again", async () => {
    const { session, runner } = await TestSession.running();
    const failed = { problem: { status: 500, code: "internal" } } as const;
    await session.broker.script({ get: [failed, failed] });
    runner.close();
    await eventually(async () => expect(await session.timers()).toContain("grace"));
    await session.elapse("grace");
    await eventually(async () => expect(await session.timers()).toContain("check"));
    expect((await session.view()).status).toBe("running");
    await session.elapse("check");
    await session.reaches("hibernated");
  });
});

describe("after a restart of the host", () => {
  test.each([
    ["was killed", LOST],
    ["was stopped", STOPPED],
  ])(
    "that %s, an awake session hibernates with its files, and its first message wakes it at once",
    async (_, found) => {
      const { session } = await TestSession.running();
      await session.broker.script({ get: [found] });
      await session.evict("close");
      const id = await session.send("work");
      await session.reaches("restoring");
      const runner = await boot(session);
      await runner.end((await runner.accept()).attemptId);
      await session.messageIs(id, { outcome: "ok", attempts: 1 });
      const [sleep] = await session.spans("valet.sandbox.hibernate");
      expect(outcomeOf(sleep)).toEqual(["ok", undefined]);
      expect(sleep?.attributes["valet.hibernate.reason"]).toBe("sandbox_stopped");
      const [restore] = await session.spans("valet.sandbox.restore");
      expect(restore?.attributes["valet.restore.reason"]).toBe("message_waiting");
      expect(restore?.attributes["valet.snapshot.id"]).toBe(sleep?.attributes["valet.snapshot.id"]);
      expect(await session.timers()).not.toContain("grace");
      await expectSound(session);
    },
  );

  test.each([
    ["out_of_memory", "sandbox_out_of_memory"],
    ["broker_stopped", "broker_stopped"],
    ["broker_lost", "broker_lost"],
    ["entrypoint_failed", "entrypoint_failed"],
    ["entrypoint_ended", "entrypoint_ended"],
  ] as const)(
    "a sandbox that stopped with its runner (%s) is the cause of what it ended: %s",
    async (stopReason, cause) => {
      const { session, runner } = await TestSession.running();
      const id = await session.startWorkflow({ name: "release", steps: [{ name: "test", run: "npm test" }] });
      const { attemptId } = await runner.acceptWorkflow();
      runner.step(attemptId, { index: 0, status: "running" });
      await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("running"));
      await session.broker.script({ get: [{ sandbox: { state: "stopped", stopReason } }] });
      await session.evict("close");
      await session.workflowIs(id, { status: "done", outcome: "error", errorType: "runner_lost" });
      const [sleep] = await session.spans("valet.sandbox.hibernate");
      expect(sleep?.attributes["valet.error.cause"]).toBe(cause);
      const { attributes } = await session.onlySpan("valet.workflow");
      expect(attributes["valet.error.cause"]).toBe(cause);
    },
  );

  test("a sandbox that the broker no longer knows is the cause of what its end ended", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.startWorkflow({ name: "release", steps: [{ name: "test", run: "npm test" }] });
    const { attemptId } = await runner.acceptWorkflow();
    runner.step(attemptId, { index: 0, status: "running" });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("running"));
    await session.broker.script({ get: [GONE] });
    await session.evict("close");
    await session.workflowIs(id, { status: "done", outcome: "error", errorType: "runner_lost" });
    const { attributes } = await session.onlySpan("valet.workflow");
    expect(attributes["valet.error.cause"]).toBe("sandbox_gone");
  });

  test("restarts use up no attempt to recover", async () => {
    const { session } = await TestSession.running();
    await session.broker.script({ get: Array(6).fill(LOST) });
    for (let restarts = 0; restarts < 6; restarts++) {
      await session.evict("close");
      const id = await session.send("work");
      await session.reaches("restoring");
      const runner = await boot(session);
      await runner.end((await runner.accept()).attemptId);
      await session.messageIs(id, { outcome: "ok", attempts: 1 });
    }
    expect((await session.view()).status).toBe("running");
    const restores = await session.spans("valet.sandbox.restore");
    expect(restores.map(({ attributes }) => attributes["valet.recovery.attempt"])).toEqual(Array(6).fill(undefined));
  });

  test("a running turn is lost, and its message is retried once with the same files", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const first = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await session.broker.script({ get: [LOST] });
    await session.evict("close");
    await session.reaches("restoring");
    const back = await boot(session);
    const second = await back.accept();
    expect(second).toMatchObject({ messageId: id, attempt: 2 });
    expect(second.attemptId).not.toBe(first.attemptId);
    await back.end(second.attemptId);
    await session.messageIs(id, { outcome: "ok", attempts: 2 });
    const [lost, again] = await session.spans("valet.prompt.dispatch");
    expect(linksOf(again, "follows")).toEqual([lost?.spanId]);
    await expectSound(session);
  });

  test("a workflow continues at its step: the files of its first steps exist", async () => {
    const { session, runner } = await TestSession.running();
    const steps = [
      { name: "one", run: "true" },
      { name: "two", prompt: "say" },
    ];
    const id = await session.startWorkflow({ name: "w", steps });
    const { attemptId } = await runner.acceptWorkflow();
    runner.send({ type: "workflow-step", attemptId, state: { index: 0, status: "done", outcome: "ok" } });
    await session.workflowIs(id, { steps: [{ status: "done" }, {}] } as never);
    await session.broker.script({ get: [LOST] });
    await session.evict("close");
    await session.reaches("restoring");
    const back = await boot(session);
    expect(await back.acceptWorkflow()).toMatchObject({ attempt: 2 });
  });

  test("a sandbox that is still running has its grace period, and its runner reconnects", async () => {
    const { session, runner } = await TestSession.running();
    await session.evict("close");
    await session.send("work");
    await eventually(async () => expect(await session.broker.calls("get")).toHaveLength(1));
    expect(await session.timers()).toContain("grace");
    const back = await (await session.connect(runner.instanceId)).hello({ ready: true });
    await back.end((await back.accept()).attemptId);
    expect(await session.view()).toMatchObject({ status: "running", generation: 1 });
  });

  test("a turn is not stuck because the host was down: its runner reconnects", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await eventually(async () => expect(await session.timers()).toContain("stuck"));
    // Its watchdog's time passes meanwhile. The object must not see that before it dies: an alarm of its own may be about to come.
    await session.crash("UPDATE timers SET due_ms = 1 WHERE kind = 'stuck'");
    await eventually(async () => expect(await session.broker.calls("get")).toHaveLength(1));
    await session.alarm();
    expect(await session.message(id)).toMatchObject({ status: "accepted" });
    const back = await (await session.connect(runner.instanceId)).hello({ ready: true, attempts: [attemptId] });
    await back.end(attemptId);
    await session.messageIs(id, { outcome: "ok", attempts: 1 });
  });

  test("the object asks a broker again that does not answer yet", async () => {
    const { session } = await TestSession.running();
    await session.broker.script({ get: [{ reset: true }, { reset: true }, LOST] });
    await session.evict("close");
    await session.send("work");
    for (let tries = 0; tries < 2; tries++) {
      await eventually(async () => expect(await session.timers()).toContain("check"));
      await session.elapse("check");
    }
    await session.reaches("restoring");
  });

  test("a snapshot is requested again after the broker was down, and the files are kept until then", async () => {
    const { session } = await TestSession.running();
    await session.broker.script({ get: [LOST, LOST], snapshot: [{ reset: true }] });
    await session.evict("close");
    await session.send("work");
    await eventually(async () => expect((await session.view()).sleepProblem).toBeDefined());
    const soon = new Date(await checkDueMs(session)).toISOString().slice(11, 19);
    expect(valueIn(await session.stub.now()).verdict.nextStep).toContain(`The snapshot is tried again at ${soon} UTC`);
    expect(await session.broker.calls("terminate")).toEqual([]);
    await session.elapse("check");
    await session.reaches("restoring");
    expect((await session.spans("valet.sandbox.hibernate")).map(outcomeOf)).toEqual([
      ["error", "broker_unreachable"],
      ["ok", undefined],
    ]);
  });

  test("a snapshot that fails is retried with a growing wait, and the files are kept until then", async () => {
    const { session } = await TestSession.running();
    const full = { problem: { status: 500, code: "snapshot_failed", detail: "no space left on device" } };
    await session.broker.script({ get: [LOST, LOST], snapshot: [full] });
    await session.evict("close");
    const id = await session.send("work");
    const { sleepProblem } = await eventually(async () => {
      const view = await session.view();
      expect(view.sleepProblem).toBeDefined();
      return view;
    });
    expect(sleepProblem).toMatchObject({ errorType: "snapshot_failed", detail: "no space left on device" });
    // No runner is waited for, and no sandbox is replaced.
    expect(valueIn(await session.stub.now()).verdict).toMatchObject({
      state: "waiting_for_sandbox",
      why: "The runner is gone, and no snapshot of its sandbox's files can be taken: `snapshot_failed`, no space left on device.",
    });
    expect((await checkDueMs(session)) - Date.now()).toBeGreaterThan(30_000);
    expect(await session.broker.calls("terminate")).toEqual([]);
    await session.elapse("check");
    await session.reaches("restoring");
    const runner = await boot(session);
    await runner.end((await runner.accept()).attemptId);
    await session.messageIs(id, { outcome: "ok" });
    expect((await session.view()).sleepProblem).toBeUndefined();
  });

  test("a sandbox that the broker does not know is replaced at once", async () => {
    const { session } = await TestSession.running();
    await session.broker.script({ get: [GONE] });
    await session.evict("close");
    const id = await session.send("work");
    await session.reaches("starting");
    const runner = await boot(session);
    await runner.end((await runner.accept()).attemptId);
    await session.messageIs(id, { outcome: "ok" });
  });

  test("an interrupted start continues in the same operation with another sandbox, however long the host was down", async () => {
    const session = new TestSession();
    await session.create();
    await (await session.connect()).hello();
    await session.broker.script({ get: [LOST] });
    const id = await session.send("work");
    // Its deadline passes meanwhile.
    await session.crash("UPDATE timers SET due_ms = 1 WHERE kind = 'start'");
    await eventually(async () => expect((await session.view()).generation).toBe(2));
    const runner = await boot(session);
    await runner.end((await runner.accept()).attemptId);
    await session.messageIs(id, { outcome: "ok" });
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    expect(outcomeOf(spawn)).toEqual(["ok", undefined]);
    expect(spawn.attributes["valet.recovery.attempt"]).toBeUndefined();
    await expectSound(session);
  });
});

describe("the deadline of a start", () => {
  const running = { sandbox: { state: "running" } } as const;
  const failed = async (session: TestSession) => {
    await eventually(async () => {
      const [spawn] = await session.spans("valet.sandbox.spawn");
      expect(outcomeOf(spawn)).toEqual(["error", "runner_never_ready"]);
    });
  };

  test("is kept if the broker is asked at the same time", async () => {
    const session = new TestSession();
    await session.create();
    await eventually(async () => expect(await session.timers()).toEqual(expect.arrayContaining(["check", "start"])));
    await runInDurableObject(session.stub, (object, { storage }) => {
      storage.sql.exec(
        "UPDATE timers SET due_ms = CASE kind WHEN 'check' THEN 1 ELSE 2 END WHERE kind IN ('check', 'start')",
      );
      object.alarm();
      expect(storage.sql.exec("SELECT due_ms FROM timers WHERE kind = 'start'").toArray()).toEqual([]);
    });
    await failed(session);
    await expectSound(session);
  });

  test("is kept if the link breaks after it", async () => {
    const session = new TestSession();
    await session.create();
    const runner = await (await session.connect()).hello();
    await eventually(async () => expect((await session.view()).agent).toBe("starting"));
    await runInDurableObject(session.stub, (_object, { storage }) => {
      storage.sql.exec("UPDATE timers SET due_ms = 1 WHERE kind = 'start'");
    });
    runner.close();
    await failed(session);
  });

  test("that passes while the host is down is postponed once, for the broker's answer", async () => {
    const session = new TestSession();
    await session.broker.script({ get: [running, running, running, running] });
    await session.create();
    await eventually(async () => expect(await session.timers()).toEqual(expect.arrayContaining(["check", "start"])));
    const overdue = "UPDATE timers SET due_ms = 1 WHERE kind = 'start'";
    await session.crash(overdue);
    expect((await session.view()).generation).toBe(1);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.spawn"))).toEqual([undefined, undefined]);
    await session.crash(overdue);
    await failed(session);
  });
});

describe("a runner that does not connect", () => {
  test.each(["entrypoint_failed", "entrypoint_ended"] as const)(
    "because its sandbox has stopped (%s) fails the start with that reason and the last line of the log",
    async (stopReason) => {
      const lastLogLine = "valet runner: the state folder cannot be used: EACCES";
      const session = new TestSession();
      const running = { sandbox: { state: "running", restartCount: 3 } } as const;
      await session.broker.script({ get: [running, { sandbox: { state: "stopped", stopReason, lastLogLine } }] });
      await session.create({ prompt: "work" });
      await eventually(async () => expect(await session.timers()).toContain("check"));
      // It is still being started again and again.
      await session.elapse("check");
      await eventually(async () => expect(await session.timers()).toContain("check"));
      expect((await session.view()).status).toBe("starting");
      await session.elapse("check");
      const { errorType, failure } = await session.reaches("error");
      expect([errorType, failure?.type, failure?.logLine]).toEqual([stopReason, stopReason, lastLogLine]);
      expect(failure?.message).toContain(lastLogLine);
      expect(outcomeOf(await session.onlySpan("valet.sandbox.spawn"))).toEqual(["error", stopReason]);
      expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["error", stopReason]);
      const told = (await session.spans()).map(({ attributes, events }) => ({
        attributes,
        events: events.map((each) => each.attributes),
      }));
      expect(JSON.stringify(told)).not.toContain("EACCES");
      await expectSound(session);
    },
  );

  test("ends the questions to the broker when it connects after all", async () => {
    const { session } = await TestSession.running();
    if ((await session.timers()).includes("check")) await session.elapse("check");
    expect(await session.broker.calls("get")).toEqual([]);
    expect(await session.timers()).not.toContain("check");
  });
});

describe("without a restart", () => {
  test("a sandbox that stopped because its runner died too often is not awaited, and its files are kept", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ get: [FAILED] });
    runner.close();
    await session.reaches("hibernated");
    const [sleep] = await session.spans("valet.sandbox.hibernate");
    const [spawn] = await session.spans("valet.sandbox.spawn");
    expect(linksOf(sleep, "follows")).toEqual([spawn?.spanId]);
    expect(await session.broker.calls("snapshot")).toHaveLength(1);
  });

  test("a runner that only loses its link is not lost", async () => {
    const { session, runner } = await TestSession.running();
    runner.close();
    await eventually(async () => expect(await session.broker.calls("get")).toHaveLength(1));
    await (await session.connect(runner.instanceId)).hello({ ready: true });
    expect(await session.view()).toMatchObject({ status: "running", agent: "idle", generation: 1 });
  });
});
