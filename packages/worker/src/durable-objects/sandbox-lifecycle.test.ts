/**
 * The sandbox's life, on the real object with a scripted broker (test/broker.node.ts): every operation with its span and its
 * outcome, also where the broker fails, answers late, or the object dies meanwhile. No process is started here; what the
 * broker's drivers do is shown in their own tests.
 */
import { describe, expect, test, vi } from "vitest";
import { eventually } from "../../test/eventually.ts";
import { FakeRunner } from "../../test/fake-runner.ts";
import { CALLER, type SeenSpan, TestSession, valueIn } from "../../test/session.ts";

function outcomeOf(span: SeenSpan | undefined): [unknown, unknown] {
  return [span?.attributes["valet.outcome"], span?.attributes["error.type"]];
}

function linksOf(span: SeenSpan | undefined, type: string): (string | undefined)[] {
  return (span?.links ?? []).filter((link) => link.type === type).map(({ spanId }) => spanId);
}

/** Brings a running session to sleep. */
async function hibernate(session: TestSession, runner: FakeRunner): Promise<void> {
  valueIn(await session.stub.hibernate(CALLER));
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
  await session.reaches("hibernated");
}

async function asleep(input = {}): Promise<TestSession> {
  const { session, runner } = await TestSession.running(input);
  await hibernate(session, runner);
  return session;
}

/** The runner of the generation that is on boots. */
async function boot(session: TestSession): Promise<FakeRunner> {
  const runner = await (await session.connect()).ready();
  await session.reaches("running");
  return runner;
}

async function loseRunner(session: TestSession, runner: FakeRunner): Promise<void> {
  runner.close();
  await eventually(async () => expect(await session.timers()).toContain("grace"));
  await session.elapse("grace");
}

/** Every operation that has begun has ended with an outcome, but those named; nothing has a parent that is not there. */
async function expectSound(session: TestSession, ...open: string[]): Promise<void> {
  const spans = await session.spans();
  const operations = spans.filter(({ name }) =>
    /^valet\.(prompt$|sandbox\.(spawn|restore|hibernate|terminate)$)/.test(name),
  );
  expect(operations.filter(({ isOpen }) => isOpen).map(({ name }) => name)).toEqual(open);
  for (const span of spans.filter(({ isOpen }) => !isOpen)) {
    if (span.name.startsWith("valet.")) expect(span.attributes["valet.outcome"], span.name).toBeDefined();
    const isRoot = span.parentSpanId === undefined || span.parentSpanId === "b".repeat(16);
    expect(isRoot || spans.some(({ spanId }) => spanId === span.parentSpanId), span.name).toBe(true);
  }
}

describe("spawn", () => {
  test("a trace of its own, caused by the request, from asking for the sandbox to its runner being ready", async () => {
    const { session } = await TestSession.running();
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    const create = await session.onlySpan("valet.sandbox.create");
    const broker = await session.onlySpan("POST /v1/sandboxes");
    expect(spawn).toMatchObject({ parentSpanId: undefined, kind: 1, status: 0 });
    expect(spawn.traceId).not.toBe("a".repeat(32));
    expect(linksOf(spawn, "caused_by")).toEqual(["b".repeat(16)]);
    expect(spawn.attributes).toMatchObject({
      ...{ "valet.spawn.reason": "session_created", "valet.sandbox.stage": "ready", "valet.outcome": "ok" },
      ...{ "valet.generation": 1, "valet.sandbox.driver": "local" },
    });
    expect(spawn.events.map(({ attributes }) => attributes["valet.sandbox.stage"])).toEqual([
      ...["created", "connected", "opencode_starting", "git_setup", "ready"],
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
      ...{ VALET_SESSION_ID: session.id, VALET_GENERATION: "1" },
      VALET_RUNNER_URL: `wss://valet.test/runner/${session.id}`,
      TRACEPARENT: `00-${spawn.traceId}-${spawn.spanId}-03`,
    });
    await expectSound(session);
  });

  test("the runner may be ready before the broker has answered", async () => {
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
    ["cuts the connection", { reset: true }, "broker_unreachable"],
  ] as const)(
    "a broker that %s: the first spawn's failure is the session's, and its messages'",
    async (_name, answer, type) => {
      const session = new TestSession();
      await session.broker.script({ create: [answer] });
      await session.create({ prompt: "hello" });
      expect(await session.reaches("error")).toMatchObject({ errorType: type });
      const spawn = await session.onlySpan("valet.sandbox.spawn");
      expect(outcomeOf(spawn)).toEqual(["error", type]);
      expect(spawn).toMatchObject({ status: 2, attributes: { "valet.sandbox.stage": "requested" } });
      expect(outcomeOf(await session.onlySpan("valet.sandbox.create"))).toEqual(["error", type]);
      expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["error", "breaker_open"]);
      await expectSound(session);
    },
  );

  test("a runner that is never ready: the span ends with the last stage that it reached, and the sandbox is ended", async () => {
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
      ...{ "error.type": "runner_never_ready", "valet.sandbox.stage": "git_setup" },
    });
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(1));
    await eventually(() => expect(runner.closed).toBeDefined());
    await eventually(async () => expect(await session.spans("valet.sandbox.delete")).toHaveLength(1));
    await expectSound(session);
  });

  test("a clone that fails is said to have failed", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: "https://git.example/none.git" });
    const runner = await (await session.connect()).hello();
    runner.send({ type: "stage", stage: "failed", errorType: "git_clone_failed" });
    expect(await session.reaches("error")).toMatchObject({ errorType: "git_clone_failed" });
    expect(outcomeOf(await session.onlySpan("valet.sandbox.spawn"))).toEqual(["error", "git_clone_failed"]);
  });

  test("after an error, a message or a wake tries again", async () => {
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

describe("a result that comes too late", () => {
  test("of a spawn: it is discarded, and its sandbox ended", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.elapse("start");
    await session.reaches("error");
    valueIn(await session.stub.wake(CALLER));
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
    await expectSound(session);
  });

  test("an orphan that cannot be ended at once is ended later", async () => {
    const session = new TestSession();
    const away = { problem: { status: 503, code: "shutting_down" } };
    await session.broker.script({ create: [{ hold: true }], terminate: [away, { reset: true }] });
    await session.create();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.elapse("start");
    await session.broker.letGo();
    for (const tries of [1, 2]) {
      await eventually(async () => expect(await session.spans("valet.sandbox.delete")).toHaveLength(tries));
      await session.elapse("leftover");
    }
    await eventually(async () => expect(await session.timers()).not.toContain("leftover"));
    const ends = await session.spans("valet.sandbox.delete");
    expect(ends.map(outcomeOf)).toEqual([
      ["error", "broker_error"],
      ["error", "broker_unreachable"],
      ["ok", undefined],
    ]);
  });
});

describe("hibernate", () => {
  test("takes a snapshot, stops the runner, ends the sandbox", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    expect((await session.view()).status).toBe("hibernating");
    expect(await runner.next("shutdown")).toMatchObject({ reason: "hibernate" });
    expect((await session.broker.calls()).map(({ call }) => call)).toEqual(["create", "snapshot"]);
    runner.send({ type: "stopped" });
    const view = await session.reaches("hibernated");
    expect([view.agent, view.sandbox]).toEqual(["none", undefined]);
    expect((await session.broker.calls()).map(({ call }) => call)).toEqual(["create", "snapshot", "terminate"]);
    const operation = await session.onlySpan("valet.sandbox.hibernate");
    expect(operation).toMatchObject({
      parentSpanId: undefined,
      attributes: {
        "valet.hibernate.reason": "requested",
        "valet.outcome": "ok",
        "valet.snapshot.id": expect.any(String),
      },
    });
    expect(linksOf(operation, "caused_by")).toEqual(["b".repeat(16)]);
    expect(linksOf(operation, "follows")).toEqual([(await session.onlySpan("valet.sandbox.spawn")).spanId]);
    for (const name of ["valet.sandbox.snapshot", "valet.sandbox.delete"]) {
      const call = await session.onlySpan(name);
      expect(call).toMatchObject({ parentSpanId: operation.spanId, kind: 3, attributes: { "valet.outcome": "ok" } });
      expect(call.endNs).toBeLessThanOrEqual(operation.endNs);
    }
    expect((await session.onlySpan("valet.sandbox.snapshot")).attributes["valet.snapshot.size_bytes"]).toBe(1234);
    await eventually(() => expect(runner.closed).toBeDefined());
    await expectSound(session);
  });

  test("comes by itself when nothing happens for the idle timeout", async () => {
    const { session } = await TestSession.running({ idleTimeoutMs: 50 });
    await session.reaches("hibernating");
    expect((await session.onlySpan("valet.sandbox.hibernate")).attributes["valet.hibernate.reason"]).toBe(
      "idle_timeout",
    );
  });

  test("does not come while a turn is in work or a message waits", async () => {
    const { session, runner } = await TestSession.running();
    expect(await session.timers()).toContain("idle");
    await session.send("work");
    const { attemptId } = await runner.accept();
    expect(await session.timers()).not.toContain("idle");
    expect(await session.stub.hibernate(CALLER)).toMatchObject({ ok: false, problem: { status: 409 } });
    expect(await session.spans("valet.sandbox.hibernate")).toEqual([]);
    await runner.end(attemptId);
    expect(await session.timers()).toContain("idle");
  });

  test("asked for again is one hibernate; asked for where it makes no sense is refused and leaves no trace", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("hibernated");
    expect(valueIn(await session.stub.hibernate(CALLER)).status).toBe("hibernated");
    await session.onlySpan("valet.sandbox.hibernate");

    const starting = new TestSession();
    await starting.create();
    expect(await starting.stub.hibernate(CALLER)).toMatchObject({
      problem: { status: 409, detail: expect.stringContaining("starting") },
    });
    expect(await starting.spans("valet.sandbox.hibernate")).toEqual([]);
  });

  test("does not wait for a runner that does not stop, or is not there", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    await session.elapse("stop");
    await session.reaches("hibernated");

    const { session: other, runner: gone } = await TestSession.running();
    gone.close();
    await eventually(async () => expect((await other.view()).agent).toBe("disconnected"));
    valueIn(await other.stub.hibernate(CALLER));
    await other.reaches("hibernated");
    await expectSound(other);
  });

  test("of a sandbox that is gone ends the session, and says so", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ problem: { status: 409, code: "sandbox_gone" } }] });
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    runner.close();
    await session.reaches("terminated");
    const operation = await session.onlySpan("valet.sandbox.hibernate");
    const end = await session.onlySpan("valet.sandbox.terminate");
    expect(outcomeOf(operation)).toEqual(["error", "sandbox_gone"]);
    expect(end.attributes).toMatchObject({ "valet.terminate.reason": "sandbox_gone", "valet.outcome": "ok" });
    expect(linksOf(end, "caused_by")).toEqual([operation.spanId]);
  });

  test("without a snapshot, where none can be taken, ends the session", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ problem: { status: 500, code: "snapshot_failed" } }] });
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    expect((await session.onlySpan("valet.sandbox.terminate")).attributes["valet.terminate.reason"]).toBe(
      "snapshot_failed",
    );
  });

  test("with the broker away is given up, and the session goes on", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ reset: true }] });
    valueIn(await session.stub.hibernate(CALLER));
    await session.reaches("running");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["error", "broker_unreachable"]);
    await session.send("still there?");
    await runner.next("prompt");
    expect(await session.timers()).not.toContain("idle");
  });

  test("a message that comes before the runner is stopped keeps the session awake", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ hold: true }] });
    valueIn(await session.stub.hibernate(CALLER));
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    const id = await session.send("wait!");
    expect((await session.message(id)).queueReason).toBe("sandbox_hibernated");
    await session.broker.letGo();
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["skipped", "session_busy"]);
    const wait = await session.onlySpan("valet.queue.wait");
    expect(wait.links.map(({ spanId }) => spanId)).toEqual([
      (await session.onlySpan("valet.sandbox.hibernate")).spanId,
    ]);
    await expectSound(session);
  });

  test("replaces the snapshot before it, which is deleted", async () => {
    const session = await asleep();
    const [first] = await session.broker.calls("snapshot");
    valueIn(await session.stub.wake(CALLER));
    await hibernate(session, await boot(session));
    await eventually(async () => expect(await session.broker.calls("deleteSnapshot")).toHaveLength(1));
    const [restored] = await session.broker.calls("restore");
    const [deleted] = await session.broker.calls("deleteSnapshot");
    expect(deleted?.path).toContain(restored?.body?.snapshotId);
    expect(first).toBeDefined();
  });
});

describe("wake", () => {
  test("asked for: a restore from the snapshot, in a trace of its own that follows the hibernate", async () => {
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

  test("two messages wake the session once; both wait for the restore and are worked on in order", async () => {
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

  test("a message that comes when the runner is stopping wakes the session again afterwards", async () => {
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
      ...["sandbox_hibernated", "sandbox_restoring"],
    ]);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["ok", undefined]);
    await expectSound(session);
  });

  test("asked for while the runner is stopping comes after the sleep", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    valueIn(await session.stub.wake(CALLER));
    runner.send({ type: "stopped" });
    await session.reaches("restoring");
    expect(linksOf(await session.onlySpan("valet.sandbox.restore"), "caused_by")).toEqual(["b".repeat(16)]);
  });

  test("a skipped wake does not take the place of the context of the real one", async () => {
    const session = await asleep();
    valueIn(await session.stub.wake(CALLER));
    const restore = await session.onlySpan("valet.sandbox.restore");
    valueIn(await session.stub.wake({ ...CALLER, traceparent: `00-${"c".repeat(32)}-${"d".repeat(16)}-01` }));
    const runner = await (await session.connect()).hello();
    expect((await runner.next("repo-config")).traceparent).toContain(restore.spanId);
    expect(linksOf(await session.onlySpan("valet.sandbox.restore"), "caused_by")).toEqual(["b".repeat(16)]);
  });

  test("from a snapshot that is gone is tried three times more, then given up; its messages are told", async () => {
    const session = await asleep();
    const gone = { problem: { status: 404, code: "not_found" } };
    await session.broker.script({ restore: [gone, gone, gone, gone] });
    const id = await session.send("wake up");
    for (let i = 0; i < 3; i++) {
      await session.reaches("recovering");
      await session.elapse("recover");
    }
    expect(await session.reaches("error")).toMatchObject({ errorType: "restore_failed" });
    expect(await session.message(id)).toMatchObject({ outcome: "error", errorType: "breaker_open" });
    const restores = await session.spans("valet.sandbox.restore");
    expect(restores.map(outcomeOf)).toEqual(Array(4).fill(["error", "restore_failed"]));
    expect(restores.map(({ attributes }) => attributes["valet.recovery.attempt"])).toEqual([undefined, 1, 2, 3]);
    await expectSound(session);
  });
});

describe("recovery", () => {
  test("a lost sandbox is replaced by one with another token; the message in work is tried once more", async () => {
    const { session, runner } = await TestSession.running();
    const before = await session.credentials();
    const id = await session.send("work");
    await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await loseRunner(session, runner);
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

  test("what was said before is told to an agent that starts anew", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("remember: blue");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    await loseRunner(session, runner);
    const back = await boot(session);
    await session.send("which colour?");
    const { continuationContext } = await back.accept();
    expect(continuationContext).toBe("User: remember: blue\nAssistant: done\n");
  });

  test("three failures open the breaker", async () => {
    const { session, runner } = await TestSession.running();
    const failure = { problem: { status: 500, code: "start_failed" } };
    await session.broker.script({ create: [failure, failure, failure] });
    const id = await session.send("work");
    await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await loseRunner(session, runner);
    for (let i = 0; i < 2; i++) {
      await session.reaches("recovering");
      expect(await session.timers()).toContain("recover");
      await session.elapse("recover");
    }
    expect(await session.reaches("error")).toMatchObject({ errorType: "spawn_failed" });
    expect(await session.message(id)).toMatchObject({ outcome: "error", errorType: "breaker_open" });
    const attempts = (await session.spans("valet.sandbox.spawn")).map(
      ({ attributes }) => attributes["valet.recovery.attempt"],
    );
    expect(attempts).toEqual([undefined, 1, 2, 3]);
  });

  test("a sandbox that dies as soon as it is ready, again and again, is given up too", async () => {
    const { session, runner } = await TestSession.running();
    await loseRunner(session, runner);
    for (let i = 0; i < 3; i++) await loseRunner(session, await boot(session));
    expect(await session.reaches("error")).toMatchObject({ errorType: "runner_lost" });
  });

  test("a runner that restarts boots anew in the same generation, and work waits for it", async () => {
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

describe("terminate", () => {
  test("ends everything, once, for good", async () => {
    const { session, runner } = await TestSession.running();
    const running = await session.send("running");
    const { attemptId } = await runner.accept();
    const queued = await session.send("queued");
    valueIn(await session.stub.terminate(CALLER));
    valueIn(await session.stub.terminate(CALLER));
    expect(await runner.next("abort")).toMatchObject({ attemptId, reason: "session_terminated" });
    await runner.next("shutdown");
    await runner.end(attemptId, { outcome: "aborted", errorType: "session_terminated" });
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    for (const id of [running, queued]) {
      expect(await session.message(id)).toMatchObject({ outcome: "aborted", errorType: "session_terminated" });
    }
    const end = await session.onlySpan("valet.sandbox.terminate");
    expect(end).toMatchObject({ attributes: { "valet.terminate.reason": "requested", "valet.outcome": "ok" } });
    expect((await session.onlySpan("valet.sandbox.delete")).parentSpanId).toBe(end.spanId);
    await expectSound(session);

    expect(await session.stub.sendMessage({ content: "hello?" }, CALLER)).toMatchObject({ problem: { status: 409 } });
    expect(await session.stub.wake(CALLER)).toMatchObject({ problem: { status: 409 } });
    expect(await session.stub.hibernate(CALLER)).toMatchObject({ problem: { status: 409 } });
    expect(valueIn(await session.stub.terminate(CALLER)).status).toBe("terminated");
    expect(await session.broker.calls("terminate")).toHaveLength(1);
    const late = await FakeRunner.open(session.stub, await session.credentials());
    expect((await late.next("refused")).reason).toBe("stale_generation");
  });

  test("while it sleeps: its snapshot goes too", async () => {
    const session = await asleep();
    valueIn(await session.stub.terminate(CALLER));
    await session.reaches("terminated");
    await eventually(async () => expect(await session.broker.calls("deleteSnapshot")).toHaveLength(1));
    expect(await session.broker.calls("terminate")).toHaveLength(1);
  });

  test("while it starts: the spawn is aborted, and the sandbox that comes too late is ended", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create({ prompt: "hello" });
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    valueIn(await session.stub.terminate(CALLER));
    await session.reaches("terminated");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.spawn"))).toEqual(["aborted", "session_terminated"]);
    expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["aborted", "session_terminated"]);
    await session.broker.letGo();
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(1));
    await eventually(async () => expect((await session.spans()).filter(({ isOpen }) => isOpen)).toEqual([]));
    await expectSound(session);
  });

  test("while it hibernates, recovers or is in error", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ hold: true }] });
    valueIn(await session.stub.hibernate(CALLER));
    valueIn(await session.stub.terminate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["aborted", "session_terminated"]);
    await session.broker.letGo();
    await eventually(async () => expect(await session.broker.calls("deleteSnapshot")).toHaveLength(1));

    const failed = new TestSession();
    await failed.broker.script({ create: [{ reset: true }] });
    await failed.create();
    await failed.reaches("error");
    valueIn(await failed.stub.terminate(CALLER));
    await failed.reaches("terminated");
    await expectSound(failed);
  });

  test("with the broker away: the session has ended, its sandbox is ended when the broker is back", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ terminate: [{ reset: true }] });
    valueIn(await session.stub.terminate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.terminate"))).toEqual(["error", "broker_unreachable"]);
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(2));
  });
});

describe("the object dies", () => {
  test("while the broker makes a sandbox: it is asked again, for a generation of its own, in the same spawn", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.crash();
    await eventually(async () => expect((await session.view()).generation).toBe(2));
    await boot(session);
    await session.broker.letGo();
    expect(await session.view()).toMatchObject({ status: "running", generation: 2 });
    const [first, second] = await session.spans("valet.sandbox.create");
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    expect([outcomeOf(first), outcomeOf(second)]).toEqual([
      ["error", "broker_timeout"],
      ["ok", undefined],
    ]);
    expect([first?.parentSpanId, second?.parentSpanId]).toEqual([spawn.spanId, spawn.spanId]);
    expect(outcomeOf(spawn)).toEqual(["ok", undefined]);
    expect(spawn.attributes["valet.generation"]).toBe(2);
    await expectSound(session);
  });

  test.each(["snapshot", "terminate"] as const)(
    "while it hibernates, at the %s: it goes on from there",
    async (call) => {
      const { session, runner } = await TestSession.running();
      await session.broker.script({ [call]: [{ hold: true }] });
      valueIn(await session.stub.hibernate(CALLER));
      if (call === "terminate") {
        await runner.next("shutdown");
        runner.send({ type: "stopped" });
      }
      await eventually(async () => expect(await session.broker.held()).toBe(1));
      await session.crash();
      await session.reaches("hibernated");
      await session.broker.letGo();
      const operation = await session.onlySpan("valet.sandbox.hibernate");
      expect(outcomeOf(operation)).toEqual(["ok", undefined]);
      expect(await session.broker.calls(call)).toHaveLength(2);
      await expectSound(session);
    },
  );

  test("at any time between: a session that was evicted before every step comes through", async () => {
    const session = new TestSession();
    await session.create({ prompt: "hello" });
    const step = async () => {
      await session.view();
      await session.evict();
    };
    const runner = await session.connect();
    await step();
    await runner.hello();
    await step();
    runner.send({ type: "stage", stage: "ready" });
    const { attemptId } = await runner.accept();
    await step();
    await runner.end(attemptId);
    await step();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    await step();
    runner.send({ type: "stopped" });
    await session.reaches("hibernated");
    await step();
    valueIn(await session.stub.wake(CALLER));
    const back = await session.connect();
    await session.view();
    await step();
    await back.ready();
    await session.reaches("running");
    await step();
    valueIn(await session.stub.terminate(CALLER));
    await back.next("shutdown");
    await step();
    back.send({ type: "stopped" });
    await session.reaches("terminated");
    const operations = (await session.spans()).filter(({ parentSpanId }) => parentSpanId === undefined);
    expect(operations.map(({ name, attributes }) => [name, attributes["valet.outcome"]])).toEqual([
      ["valet.sandbox.spawn", "ok"],
      ["valet.sandbox.hibernate", "ok"],
      ["valet.sandbox.restore", "ok"],
      ["valet.sandbox.terminate", "ok"],
    ]);
    expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["ok", undefined]);
    await expectSound(session);
  });
});

test("an alarm that finds nothing due does nothing, and one that is late does everything", async () => {
  const { session } = await TestSession.running();
  vi.useFakeTimers({ now: Date.now() + 24 * 60 * 60_000, toFake: ["Date"] });
  try {
    await session.elapse("link");
    expect((await session.view()).agent).toBe("disconnected");
  } finally {
    vi.useRealTimers();
  }
});
