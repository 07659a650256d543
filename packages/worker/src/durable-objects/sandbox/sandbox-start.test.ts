/**
 * How sandboxes begin, on the real object with a scripted broker (test/broker.node.ts): every operation with its span and its
 * outcome, also where the broker fails or answers late. No process is started here; what the broker's drivers do is shown in
 * their own tests.
 */
import { describe, expect, test } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { asleep, boot, expectSound, linksOf, loseSandbox, outcomeOf } from "../../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { INTERVALS } from "../../config.ts";

describe("spawn", () => {
  test("has a trace of its own, caused by the request, from the request for the sandbox until its runner is ready", async () => {
    const { session } = await TestSession.running();
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    const create = await session.onlySpan("valet.sandbox.create");
    const broker = await session.onlySpan("POST /v1/sandboxes");
    expect(spawn).toMatchObject({ parentSpanId: undefined, kind: 1, status: 0 });
    expect(spawn.traceId).not.toBe("a".repeat(32));
    expect(linksOf(spawn, "caused_by")).toEqual(["b".repeat(16)]);
    expect(spawn.attributes).toMatchObject({
      "valet.spawn.reason": "session_created",
      "valet.sandbox.stage": "ready",
      "valet.outcome": "ok",
      "valet.generation": 1,
      "valet.sandbox.driver": "local",
    });
    expect(spawn.events.map(({ attributes }) => attributes["valet.sandbox.stage"])).toEqual([
      "created",
      "connected",
      "opencode_starting",
      "git_setup",
      "ready",
    ]);
    expect(create).toMatchObject({
      parentSpanId: spawn.spanId,
      kind: 3,
      attributes: { "http.response.status_code": 201 },
    });
    expect(create.endNs).toBeLessThanOrEqual(spawn.endNs);
    expect(broker).toMatchObject({ parentSpanId: create.spanId, traceId: spawn.traceId });
    const [call] = await session.broker.calls("create");
    expect(call?.headers.traceparent).toContain(`${create.traceId}-${create.spanId}`);
    expect(call?.headers.authorization).toBe("Bearer secret");
    expect(call?.body?.env).toEqual({
      VALET_SESSION_ID: session.id,
      VALET_GENERATION: "1",
      VALET_RUNNER_URL: `wss://valet.test/runner/${session.id}`,
      TRACEPARENT: `00-${spawn.traceId}-${spawn.spanId}-03`,
    });
    await expectSound(session);
  });

  test.each([
    ["bwrap", "bwrap"],
    // An older broker does not say it, and a newer one may say what this version does not know.
    [undefined, undefined],
    ["enclave", undefined],
  ])("names the isolation %s of the broker's answer as %s", async (isolation, named) => {
    const session = new TestSession();
    await session.broker.script({ create: [{ sandbox: { isolation } }] });
    await session.create();
    await (await session.connect()).ready();
    await session.reaches("running");
    const { attributes } = await session.onlySpan("valet.sandbox.spawn");
    expect(attributes["valet.sandbox.isolation"]).toBe(named);
    expect(attributes["valet.sandbox.driver"]).toBe("local");
  });

  test("ends even if the runner is ready before the broker has answered", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create();
    await (await session.connect()).ready();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    expect((await session.view()).status).toBe("starting");
    await session.broker.letGo();
    expect((await session.reaches("running")).sandbox).toBeDefined();
  });

  test.each([
    ["refuses", { problem: { status: 500, code: "start_failed" } }, "spawn_failed"],
    ["fails in a way of its own", { problem: { status: 500, code: "internal" } }, "broker_error"],
    ["speaks in a way of the future", { problem: { status: 418, code: "teapot" } }, "broker_error"],
  ] as const)(
    "fails if the broker %s, and the session and its messages fail with the same reason",
    async (_name, answer, type) => {
      const session = new TestSession();
      await session.broker.script({ create: [answer] });
      await session.create({ prompt: "hello" });
      expect(await session.reaches("error")).toMatchObject({ errorType: type });
      const spawn = await session.onlySpan("valet.sandbox.spawn");
      expect(outcomeOf(spawn)).toEqual(["error", type]);
      expect(spawn).toMatchObject({ status: 2, attributes: { "valet.sandbox.stage": "requested" } });
      expect(outcomeOf(await session.onlySpan("valet.sandbox.create"))).toEqual(["error", type]);
      for (const name of ["valet.prompt", "valet.queue.wait"]) {
        const span = await session.onlySpan(name);
        expect(outcomeOf(span)).toEqual(["error", type]);
        expect(span.attributes["valet.start.attempt_count"]).toBe(1);
      }
      const { messages } = valueIn(await session.stub.messages());
      expect(messages).toMatchObject([{ outcome: "error", errorType: type, failure: { type, attempts: 1 } }]);
      const { failure } = await session.view();
      expect(failure).toEqual(messages[0]?.failure);
      expect(failure?.message).toMatch(/^[A-Z].*\. [A-Z].*\. Valet gave up after 1 attempt\.$/);
      await expectSound(session);
    },
  );

  test("is retried with backoff while the broker is away; the message waits, and the view shows the reason", async () => {
    const session = new TestSession();
    const away = { problem: { status: 503, code: "shutting_down" } } as const;
    await session.broker.script({ create: [{ reset: true }, away] });
    await session.create({ prompt: "hello" });
    const id = valueIn(await session.stub.messages()).messages[0]?.id ?? "";
    for (let i = 0; i < 2; i++) {
      const view = await session.reaches("recovering");
      expect(view.errorType).toBeUndefined();
      expect(view.failure).toMatchObject({ type: "broker_unreachable" });
      expect(view.failure?.message).not.toMatch(/gave up/);
      expect(await session.message(id)).toMatchObject({ status: "queued", queueReason: "initial_prompt" });
      await session.elapse("recover");
    }
    const runner = await boot(session);
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    expect(await session.message(id)).toMatchObject({ outcome: "ok" });
    expect((await session.view()).failure).toBeUndefined();
    const spawns = await session.spans("valet.sandbox.spawn");
    expect(spawns.map(outcomeOf)).toEqual([
      ["error", "broker_unreachable"],
      ["error", "broker_error"],
      ["ok", undefined],
    ]);
    const told = spawns.map(({ attributes }) => [
      attributes["valet.spawn.reason"],
      attributes["valet.recovery.attempt"],
    ]);
    expect(told).toEqual([
      ["session_created", undefined],
      ["recovery", 1],
      ["recovery", 2],
    ]);
    expect(linksOf(spawns[2], "follows")).toEqual([spawns[1]?.spanId]);
    await expectSound(session);
  });

  test("is given up after three retries if the broker stays away, with the first cause", async () => {
    const session = new TestSession();
    const reset = { reset: true } as const;
    await session.broker.script({ create: [reset, reset, reset, reset] });
    await session.create({ prompt: "hello" });
    const id = valueIn(await session.stub.messages()).messages[0]?.id ?? "";
    for (let i = 0; i < 3; i++) {
      await session.reaches("recovering");
      await session.elapse("recover");
    }
    const failure = { type: "broker_unreachable", attempts: 4 } as const;
    expect(await session.reaches("error")).toMatchObject({ errorType: "broker_unreachable", failure });
    expect(await session.message(id)).toMatchObject({ outcome: "error", errorType: "broker_unreachable", failure });
    await expectSound(session);
  });

  test("that fails for another reason once the broker is back is given up with that reason", async () => {
    const session = new TestSession();
    const missing = { problem: { status: 500, code: "start_failed" } } as const;
    await session.broker.script({ create: [{ reset: true }, missing] });
    await session.create({ prompt: "hello" });
    const id = valueIn(await session.stub.messages()).messages[0]?.id ?? "";
    expect((await session.reaches("recovering")).failure).toMatchObject({ type: "broker_unreachable" });
    await session.elapse("recover");
    const failure = { type: "spawn_failed", attempts: 2 } as const;
    const view = await session.reaches("error");
    expect(view).toMatchObject({ errorType: "spawn_failed", failure });
    expect(view.failure?.message).toMatch(/could not create a sandbox.*gave up after 2 attempts/);
    expect(await session.message(id)).toMatchObject({ outcome: "error", errorType: "spawn_failed", failure });
    await expectSound(session);
  });

  test("of a runner that is never ready ends with the last stage that was reached, and the sandbox is ended", async () => {
    const session = new TestSession();
    await session.create();
    const runner = await (await session.connect()).hello();
    runner.send({ type: "stage", stage: "git_setup" });
    await eventually(async () => {
      const spawn = await session.onlySpan("valet.sandbox.spawn");
      expect(spawn.events.at(-1)?.attributes["valet.sandbox.stage"]).toBe("git_setup");
    });
    await session.elapse("start");
    expect(await session.reaches("error")).toMatchObject({ errorType: "runner_never_ready" });
    expect((await session.onlySpan("valet.sandbox.spawn")).attributes).toMatchObject({
      "error.type": "runner_never_ready",
      "valet.sandbox.stage": "git_setup",
    });
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(1));
    await eventually(() => expect(runner.closed).toBeDefined());
    await eventually(async () => expect(await session.spans("valet.sandbox.delete")).toHaveLength(1));
    await expectSound(session);
  });

  test("sends the runner the time left until its deadline, and none to a runner that connects later", async () => {
    const session = new TestSession();
    await session.create();
    const runner = await (await session.connect()).hello();
    const { startMs } = await runner.next("config");
    expect(startMs).toBeGreaterThan(0);
    expect(startMs).toBeLessThanOrEqual(INTERVALS.startMs);
    const { session: running, runner: first } = await TestSession.running();
    first.close();
    const later = await (await running.connect()).hello();
    expect((await later.next("config")).startMs).toBeUndefined();
  });

  test.each([
    ["that it took too long", { problem: { status: 504, code: "limit_exceeded" } }, "sandbox_timeout"],
  ] as const)("a broker that says %s", async (_what, answer, type) => {
    const session = new TestSession();
    await session.broker.script({ create: [answer] });
    await session.create();
    expect(await session.reaches("error")).toMatchObject({ errorType: type });
    expect(outcomeOf(await session.onlySpan("valet.sandbox.create"))).toEqual(["error", type]);
  });

  test.each([
    ["git_clone_failed", "git_setup"],
    ["git_ref_not_found", "git_setup"],
    ["git_timeout", "git_setup"],
    ["opencode_unhealthy", "opencode_starting"],
    ["opencode_died", "opencode_starting"],
    ["wall_failed", "opencode_starting"],
  ] as const)("shows what its runner failed with as its cause: %s", async (errorType, stage) => {
    const session = new TestSession();
    await session.create({ repoUrl: "https://git.example/none.git" });
    const runner = await (await session.connect()).hello();
    runner.send({ type: "stage", stage: "failed", errorType });
    expect(await session.reaches("error")).toMatchObject({ errorType });
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    expect(outcomeOf(spawn)).toEqual(["error", errorType]);
    expect(spawn.attributes["valet.sandbox.stage"]).toBe(stage);
  });

  test("is tried again after an error by a message or a wake", async () => {
    const session = new TestSession();
    const failure = { problem: { status: 500, code: "start_failed" } };
    await session.broker.script({ create: [failure, failure] });
    await session.create();
    await session.reaches("error");
    valueIn(await session.stub.wake(CALLER));
    await session.reaches("error");
    const id = await session.send("again");
    const runner = await boot(session);
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    expect(await session.message(id)).toMatchObject({ outcome: "ok", queueReason: "sandbox_starting" });
    const reasons = (await session.spans("valet.sandbox.spawn")).map(
      ({ attributes }) => attributes["valet.spawn.reason"],
    );
    expect(reasons).toEqual(["session_created", "requested", "message_waiting"]);
    expect((await session.view()).errorType).toBeUndefined();
  });
});

describe("a result that arrives too late", () => {
  test("of a spawn is discarded, and its sandbox is ended", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.elapse("start");
    await session.reaches("recovering");
    await session.elapse("recover");
    const runner = await boot(session);
    const { sandbox } = await session.view();
    await session.broker.letGo();
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(1));
    expect(await session.view()).toMatchObject({ status: "running", generation: 2, sandbox });
    const [call] = await session.broker.calls("terminate");
    expect(call?.path).not.toContain(sandbox?.id);
    const [late] = await session.spans("valet.sandbox.create");
    expect(outcomeOf(late)).toEqual(["superseded", "stale_generation"]);
    expect(late?.status).toBe(0);
    expect(runner.closed).toBeUndefined();
    await eventually(async () =>
      expect(outcomeOf(await session.onlySpan("valet.sandbox.delete"))).toEqual(["ok", undefined]),
    );
    const [spawn] = await session.spans("valet.sandbox.spawn");
    const end = await session.onlySpan("valet.sandbox.delete");
    expect([end.parentSpanId, linksOf(end, "caused_by")]).toEqual([undefined, [spawn?.spanId]]);
    await expectSound(session);
  });

  test("leaves an orphan that is ended later if it cannot be ended at once", async () => {
    const session = new TestSession();
    const away = { problem: { status: 503, code: "shutting_down" } };
    await session.broker.script({ create: [{ hold: true }], terminate: [away, { reset: true }] });
    await session.create();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.elapse("start");
    await session.broker.letGo();
    for (const tries of [1, 2]) {
      await eventually(async () => expect(await session.spans("valet.sandbox.delete")).toHaveLength(tries));
      await session.elapse("orphan");
    }
    await eventually(async () => expect(await session.timers()).not.toContain("orphan"));
    const ends = await session.spans("valet.sandbox.delete");
    expect(ends.map(outcomeOf)).toEqual([
      ["error", "broker_error"],
      ["error", "broker_unreachable"],
      ["ok", undefined],
    ]);
  });
});

describe("wake", () => {
  test("restores from the snapshot, in a trace of its own that follows the hibernate", async () => {
    const session = await asleep();
    valueIn(await session.stub.wake(CALLER));
    valueIn(await session.stub.wake(CALLER));
    await boot(session);
    valueIn(await session.stub.wake(CALLER));
    const restore = await session.onlySpan("valet.sandbox.restore");
    expect(restore).toMatchObject({
      parentSpanId: undefined,
      attributes: { "valet.restore.reason": "requested", "valet.outcome": "ok", "valet.generation": 2 },
    });
    expect(linksOf(restore, "caused_by")).toEqual(["b".repeat(16)]);
    expect(linksOf(restore, "follows")).toEqual([(await session.onlySpan("valet.sandbox.hibernate")).spanId]);
    expect(await session.broker.calls("restore")).toHaveLength(1);
    const [, create] = await session.spans("valet.sandbox.create");
    expect(create?.attributes).toMatchObject({
      "valet.broker.call": "restore",
      "valet.snapshot.id": expect.any(String),
    });
    await expectSound(session);
  });

  test("happens once for two messages; both wait for the restore and are dispatched in order", async () => {
    const session = await asleep();
    const ids = [await session.send("one"), await session.send("two")];
    const runner = await boot(session);
    for (const id of ids) {
      const dispatch = await runner.accept();
      expect(dispatch.messageId).toBe(id);
      await runner.end(dispatch.attemptId);
    }
    const restore = await session.onlySpan("valet.sandbox.restore");
    const [first] = await session.spans("valet.prompt");
    expect(restore.attributes).toMatchObject({ "valet.restore.reason": "message_waiting", "valet.message.id": ids[0] });
    expect(linksOf(restore, "caused_by")).toEqual([first?.spanId]);
    const waits = await session.spans("valet.queue.wait");
    for (const wait of waits) expect(linksOf(wait, "waited_on")[0]).toBe(restore.spanId);
    const { turns } = valueIn(await session.stub.turns());
    expect(turns[0]?.queue_reasons).toEqual(["sandbox_restoring"]);
    expect((turns[0]?.sandbox_ms ?? 0) + (turns[0]?.bootstrap_ms ?? 0)).toBeGreaterThan(0);
    expect((turns[0]?.sandbox_ms ?? 0) + (turns[0]?.bootstrap_ms ?? 0)).toBeLessThanOrEqual(
      turns[0]?.queue_wait_ms ?? 0,
    );
  });

  test("follows a hibernate if a message arrives while the runner is stopping", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    const id = await session.send("too late");
    runner.send({ type: "stopped" });
    await session.reaches("restoring");
    const back = await boot(session);
    const { attemptId } = await back.accept();
    await back.end(attemptId);
    expect(await session.message(id)).toMatchObject({ outcome: "ok" });
    const wait = await session.onlySpan("valet.queue.wait");
    expect(wait.events.map(({ attributes }) => attributes["valet.queue.reason"])).toEqual([
      "sandbox_hibernated",
      "sandbox_restoring",
    ]);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["ok", undefined]);
    await expectSound(session);
  });

  test("follows a hibernate if it is requested while the runner is stopping", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    valueIn(await session.stub.wake(CALLER));
    runner.send({ type: "stopped" });
    await session.reaches("restoring");
    expect(linksOf(await session.onlySpan("valet.sandbox.restore"), "caused_by")).toEqual(["b".repeat(16)]);
  });

  test("that is skipped does not replace the context of the real one", async () => {
    const session = await asleep();
    valueIn(await session.stub.wake(CALLER));
    const restore = await session.onlySpan("valet.sandbox.restore");
    valueIn(await session.stub.wake({ ...CALLER, traceparent: `00-${"c".repeat(32)}-${"d".repeat(16)}-01` }));
    const runner = await (await session.connect()).hello();
    expect((await runner.next("repo-config")).traceparent).toContain(restore.spanId);
    expect(linksOf(await session.onlySpan("valet.sandbox.restore"), "caused_by")).toEqual(["b".repeat(16)]);
  });

  test("from a missing snapshot is retried three times, then given up; its messages fail", async () => {
    const session = await asleep();
    const gone = { problem: { status: 404, code: "not_found" } };
    await session.broker.script({ restore: [gone, gone, gone, gone] });
    const id = await session.send("wake up");
    for (let i = 0; i < 3; i++) {
      await session.reaches("recovering");
      await session.elapse("recover");
    }
    const failure = { type: "snapshot_gone", attempts: 4 } as const;
    expect(await session.reaches("error")).toMatchObject({ errorType: "snapshot_gone", failure });
    expect(await session.message(id)).toMatchObject({ outcome: "error", errorType: "snapshot_gone", failure });
    const restores = await session.spans("valet.sandbox.restore");
    expect(restores.map(outcomeOf)).toEqual(Array(4).fill(["error", "snapshot_gone"]));
    expect(restores.map(({ attributes }) => attributes["valet.recovery.attempt"])).toEqual([undefined, 1, 2, 3]);
    const verdict = valueIn(await session.stub.now()).verdict;
    expect(verdict.why).toContain("`snapshot_gone`. The broker no longer has the snapshot with the session's files.");
    expect(verdict.nextStep).toMatch(/^Wake the session once the snapshot is back: its queue continues\. Without it/);
    await expectSound(session);
  });
});

describe("recovery", () => {
  test("replaces a lost sandbox by one with another token, and retries the running message once", async () => {
    const { session, runner } = await TestSession.running();
    const before = await session.credentials();
    const id = await session.send("work");
    await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await loseSandbox(session, runner);
    await session.messageIs(id, { status: "queued", queueReason: "sandbox_starting" });
    const after = await session.credentials();
    expect(after.generation).toBe(2);
    expect(after.token).not.toBe(before.token);
    const back = await boot(session);
    const dispatch = await back.accept();
    expect(dispatch).toMatchObject({ messageId: id, attempt: 2 });
    expect(dispatch.opencodeSessionId).toBeUndefined();
    await back.end(dispatch.attemptId);
    const [first, second] = await session.spans("valet.sandbox.spawn");
    expect(second?.attributes).toMatchObject({ "valet.spawn.reason": "recovery", "valet.recovery.attempt": 1 });
    expect(linksOf(second, "follows")).toEqual([first?.spanId]);
    const [lost, again] = await session.spans("valet.prompt.dispatch");
    expect(linksOf(again, "follows")).toEqual([lost?.spanId]);
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(1));
    await expectSound(session);
  });

  test("sends the conversation so far to a new agent", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("remember: blue");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    await loseSandbox(session, runner);
    const back = await boot(session);
    await session.send("which colour?");
    const { continuationContext } = await back.accept();
    expect(continuationContext).toBe("User: remember: blue\nAssistant: done\n");
  });

  test("ends after three failures", async () => {
    const { session, runner } = await TestSession.running();
    const failure = { problem: { status: 500, code: "start_failed" } };
    await session.broker.script({ create: [failure, failure, failure] });
    const id = await session.send("work");
    await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await loseSandbox(session, runner);
    for (let i = 0; i < 2; i++) {
      await session.reaches("recovering");
      expect(await session.timers()).toContain("recover");
      await session.elapse("recover");
    }
    expect(await session.reaches("error")).toMatchObject({ errorType: "spawn_failed" });
    const why = { type: "spawn_failed", attempts: 3 } as const;
    expect(await session.message(id)).toMatchObject({ outcome: "error", errorType: "spawn_failed", failure: why });
    const attempts = (await session.spans("valet.sandbox.spawn")).map(
      ({ attributes }) => attributes["valet.recovery.attempt"],
    );
    expect(attempts).toEqual([undefined, 1, 2, 3]);
  });

  test("ends with the first failure that was no absence of the broker, and shows meanwhile what is known", async () => {
    const { session, runner } = await TestSession.running();
    const reset = { reset: true } as const;
    await session.broker.script({ create: [reset, { problem: { status: 500, code: "start_failed" } }] });
    const id = await session.send("work", { channel: "a" });
    const workflow = await session.startWorkflow({ name: "w", steps: [{ name: "s", run: "true" }], channel: "a" });
    await runner.next("prompt");
    await loseSandbox(session, runner);
    const recovering = await session.reaches("recovering");
    expect(recovering.errorType).toBeUndefined();
    expect(recovering.failure).toMatchObject({ type: "broker_unreachable" });
    await session.elapse("recover");
    expect((await session.reaches("recovering")).failure).toMatchObject({ type: "spawn_failed" });
    await session.elapse("recover");
    const last = await (await session.connect()).hello();
    last.send({ type: "stage", stage: "git_setup" });
    await eventually(async () => {
      const spawn = (await session.spans("valet.sandbox.spawn")).at(-1);
      expect(spawn?.attributes["valet.sandbox.stage"]).toBe("git_setup");
    });
    await session.elapse("start");
    const failure = { type: "spawn_failed", attempts: 3 } as const;
    const view = await session.reaches("error");
    expect(view).toMatchObject({ errorType: "spawn_failed", failure });
    expect(view.failure?.stage).toBeUndefined();
    expect(await session.message(id)).toMatchObject({ errorType: "spawn_failed", failure });
    expect(await session.workflow(workflow)).toMatchObject({ errorType: "spawn_failed", failure });
    for (const name of ["valet.prompt", "valet.workflow"]) {
      const { attributes } = await session.onlySpan(name);
      expect(attributes).toMatchObject({ "error.type": "spawn_failed", "valet.start.attempt_count": 3 });
    }
    // A start that comes to its end is a new beginning.
    valueIn(await session.stub.wake(CALLER));
    expect((await session.view()).failure).toBeUndefined();
    await loseSandbox(session, await boot(session));
    expect((await session.view()).failure).toBeUndefined();
  });

  test("also ends if the sandbox dies each time as soon as it is ready", async () => {
    const { session, runner } = await TestSession.running();
    await loseSandbox(session, runner);
    for (let i = 0; i < 3; i++) await loseSandbox(session, await boot(session));
    expect(await session.reaches("error")).toMatchObject({ errorType: "runner_lost" });
  });

  test("of a runner that restarts boots it in the same generation, and jobs wait for it", async () => {
    const { session, runner } = await TestSession.running();
    runner.close();
    const restarted = await (await session.connect()).hello();
    const id = await session.send("work");
    expect((await session.message(id)).queueReason).toBe("runner_disconnected");
    restarted.send({ type: "stage", stage: "ready" });
    expect((await restarted.next("prompt")).dispatch.messageId).toBe(id);
    expect((await session.view()).generation).toBe(1);
    expect(await session.spans("valet.sandbox.spawn")).toHaveLength(1);
  });
});
