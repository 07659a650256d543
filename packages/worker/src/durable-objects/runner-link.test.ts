/**
 * The link to the runner, on the real object: the runner's side is spoken by the test (test/fake-runner.ts), the broker is
 * scripted. What the real runner makes of it is not shown here.
 */

import { runInDurableObject } from "cloudflare:test";
import { createHash } from "node:crypto";
import { ownTraceId } from "@valet/shared/protocol/own-trace-ids";
import { type FromRunnerOf, MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import { encodeTraces, type ReadableSpan, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { eventually } from "../../test/eventually.ts";
import { FakeRunner } from "../../test/fake-runner.ts";
import { loseSandbox, outcomeOf } from "../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";

/** An ended span of the session, as the runner encodes it. */
function spanFrame(session: TestSession, name: string): string {
  const ended: ReadableSpan[] = [];
  const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => ended.push(span) };
  new Tracer({ scope: { name: "test" }, processor })
    .startSpan(name, { attributes: { "valet.session.id": session.id } })
    .end();
  return encodeTraces({ "service.name": "valet-runner" }, ended);
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

async function refusalOf(runner: FakeRunner): Promise<string> {
  const { reason } = await runner.next("refused");
  await eventually(() => expect(runner.closed).toBeDefined());
  return reason;
}

describe("who may connect", () => {
  test("the runner of the generation with its token, which receives its configuration and the repository", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: "https://user:pass@git.example/a.git", branch: "main" });
    const runner = await (await session.connect()).hello();
    expect(await runner.next("config")).toMatchObject({
      sessionId: session.id,
      generation: 1,
      captureContent: false,
      tracing: true,
      modelAccess: { model: "valet/test" },
    });
    const repository = await runner.next("repo-config");
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    expect(repository).toMatchObject({
      repoUrl: "https://git.example/a.git",
      branch: "main",
      credentials: { username: "user", password: "pass" },
      traceparent: expect.stringContaining(`${spawn.traceId}-${spawn.spanId}`),
    });
  });

  test("a runner, which uses the repository's configuration only if the session trusts it, and asks a person for what the session says", async () => {
    const [trusting, other] = [new TestSession(), new TestSession()];
    await trusting.create({ repoUrl: "https://git.example/a.git", trustRepositoryConfig: true, askBefore: ["edits"] });
    await other.create({ repoUrl: "https://git.example/a.git", askBefore: [] });
    expect(await (await (await trusting.connect()).hello()).next("config")).toMatchObject({
      trustRepositoryConfig: true,
      askBefore: ["edits"],
    });
    expect(await trusting.view()).toMatchObject({ trustRepositoryConfig: true, askBefore: ["edits"] });
    expect(await (await (await other.connect()).hello()).next("config")).not.toHaveProperty("trustRepositoryConfig");
    expect(await other.view()).not.toHaveProperty("askBefore");
  });

  test("nobody with another token", async () => {
    const session = new TestSession();
    await session.create();
    const { generation } = await session.credentials();
    expect(await refusalOf(await FakeRunner.open(session.stub, { token: "vlt_guess", generation }))).toBe(
      "token_refused",
    );
    expect(await refusalOf(await FakeRunner.open(session.stub, { token: "vlt_guess", generation: 99 }))).toBe(
      "token_refused",
    );
  });

  test("not the runner of an ended generation", async () => {
    const { session, runner } = await TestSession.running();
    const old = await session.credentials();
    await loseSandbox(session, runner);
    await eventually(async () => expect((await session.view()).generation).toBe(2));
    expect(await refusalOf(await FakeRunner.open(session.stub, old))).toBe("stale_generation");
    expect(await refusalOf(await FakeRunner.open(session.stub, { ...old, generation: 2 }))).toBe("token_refused");
  });

  test.each([
    ["no token", { "x-valet-generation": "1" }, 401],
    ["no generation", { authorization: "Bearer x" }, 401],
    ["a generation that is no number", { authorization: "Bearer x", "x-valet-generation": "one" }, 401],
  ])("nobody who sends %s", async (_name, headers, status) => {
    const session = new TestSession();
    await session.create();
    const request = new Request("https://session/runner", { headers: { upgrade: "websocket", ...headers } });
    expect((await session.stub.fetch(request)).status).toBe(status);
  });

  test("nobody without a WebSocket, or to a session that does not exist, who is answered as a stranger", async () => {
    const session = new TestSession();
    const refusal = async () => refusalOf(await FakeRunner.open(session.stub, { token: "vlt_guess", generation: 1 }));
    expect((await session.stub.fetch("https://session/runner")).status).toBe(426);
    expect(await refusal()).toBe("token_refused");
    await session.create();
    expect((await session.stub.fetch("https://session/runner")).status).toBe(426);
    expect(await refusal()).toBe("token_refused");
  });

  test("the token is stored nowhere, only its hash", async () => {
    const session = new TestSession();
    await session.create();
    const { token } = await session.credentials();
    const dump = await runInDurableObject(session.stub, (_object, { storage }) => {
      const tables = storage.sql.exec(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
      );
      return JSON.stringify(tables.toArray().map(({ name }) => storage.sql.exec(`SELECT * FROM "${name}"`).toArray()));
    });
    expect(dump).toContain(session.id);
    expect(dump).not.toContain(token);
  });
});

describe("a runner that speaks another version of the protocol", () => {
  const hello = (protocol: unknown) => JSON.stringify({ type: "hello", protocol, generation: 1, other: [{}] });

  test.each([
    [2, "the Worker is older"],
    [0, "the runner is older"],
    [9_000_000_000, "the Worker is older"],
  ])("is refused at its hello with both numbers, and is the session's cause: %i", async (protocol, sentence) => {
    const session = new TestSession();
    await session.create({ prompt: "hello" });
    const runner = await session.connect();
    runner.sendRaw(hello(protocol));
    expect(await runner.next("refused")).toEqual({
      type: "refused",
      reason: "protocol_unsupported",
      protocols: { runner: protocol, sessionAgent: 1 },
    });
    await eventually(() => expect(runner.closed?.code).toBe(4412));
    expect(await session.reaches("error")).toMatchObject({ errorType: "protocol_unsupported" });
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    expect(outcomeOf(spawn)).toEqual(["error", "protocol_unsupported"]);
    const { failure } = await session.view();
    expect(failure?.message).toContain(`speaks version ${protocol} of the link's protocol, the Worker version 1`);
    expect(failure?.message).toContain(sentence);
    const { messages } = valueIn(await session.stub.messages());
    expect(messages).toMatchObject([{ outcome: "error", errorType: "protocol_unsupported" }]);
    expect(messages[0]?.failure).toMatchObject({ protocols: { runner: protocol, sessionAgent: 1 } });
  });

  test("is refused like that if it does not know that it has to ask, and the session says so; others need not know it", async () => {
    const older = {
      type: "hello",
      protocol: 1,
      instanceId: "run_1",
      generation: 1,
      clockMs: 0,
      attempts: [],
      ready: false,
    };
    const [asking, other] = [new TestSession(), new TestSession()];
    await asking.create({ askBefore: ["commands"] });
    await other.create();
    const runner = await asking.connect();
    runner.sendRaw(JSON.stringify({ ...older, version: "0.4.0" }));
    expect(await runner.next("refused")).toMatchObject({ reason: "protocol_unsupported" });
    expect(runner.heard.map(({ type }) => type)).not.toContain("config");
    const { failure } = await asking.reaches("error");
    expect(failure).toMatchObject({ type: "protocol_unsupported" });
    expect(failure?.message).toContain("The runner is too old to ask a person before it acts");
    const knows = await other.connect();
    knows.sendRaw(JSON.stringify({ ...older, version: "0.4.0" }));
    await knows.next("config");
  });

  test.each([["1"], [1.5], [null], [undefined]])("is not recognised if it names no version: %s", async (protocol) => {
    const session = new TestSession();
    await session.create();
    const runner = await session.connect();
    runner.sendRaw(hello(protocol));
    expect(await runner.next("error")).toMatchObject({ type: "error" });
    expect((await session.view()).status).toBe("starting");
  });

  test("does not affect the runner that has the link", async () => {
    const { session, runner } = await TestSession.running();
    const other = await session.connect();
    other.sendRaw(hello(2));
    expect(await refusalOf(other)).toBe("protocol_unsupported");
    runner.sendRaw(hello(2));
    expect(await refusalOf(runner)).toBe("protocol_unsupported");
    expect((await session.view()).status).not.toBe("error");
  });
});

describe("two connections", () => {
  test("the newer one replaces the older, whose frames no longer count", async () => {
    const { session, runner: first } = await TestSession.running();
    const second = await (await session.connect()).hello({ ready: true });
    expect(await refusalOf(first)).toBe("superseded");
    expect(second.closed).toBeUndefined();
    await session.send("hello");
    const { attemptId } = await second.accept();
    await second.end(attemptId);
    expect(first.heard.filter(({ type }) => type === "prompt")).toEqual([]);
    expect((await session.view()).agent).toBe("idle");
  });

  test("one that has not said hello changes nothing", async () => {
    const { session, runner } = await TestSession.running();
    const silent = await session.connect();
    await session.send("hello");
    expect((await runner.next("prompt")).dispatch.content).toBe("hello");
    expect(silent.heard).toEqual([]);
  });
});

describe("an invalid frame", () => {
  test.each([
    ["no JSON", "{nonsense", "not JSON"],
    ["a known frame with a bad field", JSON.stringify({ type: "part", attemptId: 7 }), "attemptId"],
    ["a frame without a type", "{}", "type"],
    ["null", "null", ""],
  ])("is answered with an error that names the field, and the link stays open: %s", async (_name, frame, named) => {
    const { session, runner } = await TestSession.running();
    runner.sendRaw(frame);
    expect((await runner.next("error")).error).toContain(named);
    await session.send("still there?");
    expect((await runner.next("prompt")).dispatch.content).toBe("still there?");
  });

  test("of an unknown type is skipped: the runner may be newer", async () => {
    const { session, runner } = await TestSession.running();
    runner.sendRaw(JSON.stringify({ type: "from-the-future", x: 1 }));
    await session.send("go on");
    await runner.next("prompt");
    expect(runner.heard.filter(({ type }) => type === "error")).toEqual([]);
  });

  test("before hello is refused", async () => {
    const session = new TestSession();
    await session.create();
    const runner = await session.connect();
    runner.send({ type: "stage", stage: "ready" });
    expect((await runner.next("error")).error).toContain("hello");
    expect((await session.view()).status).toBe("starting");
  });

  test("of bytes is refused; one that is too large ends the connection", async () => {
    const { session, runner } = await TestSession.running();
    runner.sendRaw(new Uint8Array([1, 2, 3]).buffer);
    await runner.next("error");
    runner.sendRaw(JSON.stringify({ type: "stopped", padding: "x".repeat(MAX_LINK_FRAME_BYTES) }));
    await eventually(() => expect(runner.closed?.code).toBe(1009));
    await (await session.connect()).hello({ ready: true });
    expect((await session.view()).agent).toBe("idle");
  });

  test("sent again and again ends the connection", async () => {
    const { runner } = await TestSession.running();
    for (let i = 0; i < 30; i++) runner.sendRaw("{");
    await eventually(() => expect(runner.closed?.code).toBe(1008));
  });

  test("with another generation than the connection's is refused", async () => {
    const session = new TestSession();
    await session.create();
    const runner = await session.connect();
    runner.send({
      type: "hello",
      protocol: 1,
      instanceId: "run_1",
      generation: 7,
      clockMs: 0,
      attempts: [],
      ready: false,
      version: "1",
    });
    expect(await refusalOf(runner)).toBe("stale_generation");
  });
});

/** Sends frames until the connection is closed for it, at one moment of the clock: however slow the machine is, nothing is refilled. */
async function flood(runner: FakeRunner, send: () => void): Promise<void> {
  const resume = stopClock();
  for (let i = 0; i < 2500; i++) send();
  await eventually(() => expect(runner.closed?.code).toBe(1008)).finally(resume);
}

/** Stops the clock, of the object, too. @returns what lets it run again */
function stopClock(): () => void {
  const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now());
  return () => clock.mockRestore();
}

describe("an attacker with a stolen token", () => {
  /** A hello as the generation's runner says it. */
  const hello = (instanceId: string, generation = 1) => ({
    type: "hello" as const,
    protocol: 1 as const,
    instanceId,
    generation,
    clockMs: Date.now(),
    attempts: [],
    ready: true,
    version: "1",
  });

  /** How much is stored of the session itself, and how many runner processes it knows. */
  const stored = (session: TestSession) =>
    runInDurableObject(session.stub, (_object, { storage }) => {
      const count = (sql: string) => storage.sql.exec(sql).one().n as number;
      return {
        session: count("SELECT LENGTH(record) AS n FROM session"),
        instances: count("SELECT COUNT(*) AS n FROM trace_instances"),
      };
    });

  test("can say hello once a connection: the second one ends the connection, and the session continues", async () => {
    const { session } = await TestSession.running();
    const before = await stored(session);
    const thief = await session.connect();
    for (let i = 0; i < 500; i++) thief.send(hello(`run_${i}`));
    await eventually(() => expect(thief.closed?.code).toBe(1008));
    expect(thief.heard.filter(({ type }) => type === "config")).toHaveLength(1);
    expect((await stored(session)).session).toBeLessThan(before.session + 500);
    await (await session.connect()).ready();
    await eventually(async () => expect((await session.view()).agent).toBe("idle"));
  });

  test("can name a limited number of instances, and open a limited number of connections a minute", async () => {
    const { session } = await TestSession.running();
    const { token, generation } = await session.credentials();
    const opened: FakeRunner[] = [];
    let refused = "";
    // A machine that opens less than one a second would never be refused.
    onTestFinished(stopClock());
    for (let i = 0; i < 200 && refused === ""; i++) {
      const thief = await FakeRunner.open(session.stub, { token, generation }).catch((error: Error) => {
        refused = error.message;
      });
      if (!thief) break;
      thief.send(hello(`run_${i}`));
      opened.push(thief);
    }
    expect(refused).toMatch(/^429: /);
    expect(opened.length).toBeLessThan(100);
    const instances = await runInDurableObject(session.stub, (_object, { storage }) => {
      return JSON.parse(storage.sql.exec("SELECT record FROM session").one().record as string).link.instances.length;
    });
    expect(instances).toBeLessThanOrEqual(64);
  });

  test("can hold few silent connections open, and the working runner is not affected", async () => {
    const { session, runner } = await TestSession.running();
    const silent: FakeRunner[] = [];
    for (let i = 0; i < 20; i++) silent.push(await session.connect());
    await eventually(() => expect(silent.filter(({ closed }) => closed === undefined).length).toBeLessThanOrEqual(8));
    expect(silent.flatMap(({ heard }) => heard)).toEqual([]);
    await session.send("still there?");
    expect((await runner.next("prompt")).dispatch.content).toBe("still there?");
    expect(runner.closed).toBeUndefined();
  });

  test("can send a limited number of frames of any type over all connections", async () => {
    const { session, runner } = await TestSession.running();
    await flood(runner, () => runner.send({ type: "stage", stage: "connected" }));
    expect((await session.view()).agent).toBe("disconnected");
    const again = await session.connect();
    await flood(again, () => again.sendRaw("{"));
  });

  test("cannot fill a table with names of runners that do not exist", async () => {
    const { session, runner } = await TestSession.running();
    for (let i = 0; i < 1500; i++) {
      runner.send({ type: "spans", instanceId: `run_${i}`, seq: 1, otlp: '{"resourceSpans":[]}' });
    }
    await eventually(() => expect(runner.heard.filter(({ type }) => type === "spans-ack")).toHaveLength(1500));
    expect((await stored(session)).instances).toBeLessThanOrEqual(1000);
  });

  test("cannot write spans into other traces, under another name, or for another session", async () => {
    const { session, runner } = await TestSession.running();
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    const made: ReadableSpan[] = [];
    const tracer = new Tracer({
      scope: { name: "thief" },
      processor: { onStart: () => {}, onEnd: (span) => made.push(span) },
    });
    const within = (traceId: string) => ({
      traceId,
      spanId: "b".repeat(16),
      traceFlags: 1,
      traceState: "",
      isRemote: true,
    });
    const own = { "valet.session.id": session.id };
    tracer.startSpan("foreign", { parent: within("f".repeat(32)), attributes: own }).end();
    tracer.startSpan("operation", { parent: within(spawn.traceId), attributes: own }).end();
    tracer.startSpan("root", { attributes: own }).end();
    tracer.startSpan("double", { attributes: { ...own, "session.id": "ses_other" } }).end();
    const id = ownTraceId(session.id, "0123456789abcdef", sha256);
    tracer.startSpan("drawn", { parent: within(id), attributes: own }).end();
    const resource = { "service.name": "bank", "deployment.environment.name": "production", "valet.generation": 1 };
    const otlp = encodeTraces(resource, made);
    runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp });
    await runner.next("spans-ack");

    const names = (await session.spans()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["operation", "root", "drawn"]));
    expect(names).not.toContain("foreign");
    expect((await session.onlySpan("double")).attributes["session.id"]).toBe(session.id);
    const text = await new Response(valueIn(await session.stub.readTrace(id))).text();
    expect(text).toContain('"valet-runner"');
    expect(text).toContain(runner.instanceId);
    expect(text).not.toMatch(/bank|production/);
  });
});

describe("a link that breaks", () => {
  test("and returns within the grace period: the turn continues", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    runner.close();
    await eventually(async () => expect((await session.view()).agent).toBe("disconnected"));
    const back = await (await session.connect(runner.instanceId)).hello({ ready: true, attempts: [attemptId] });
    await back.end(attemptId);
    expect(await session.message(id)).toMatchObject({ status: "done", outcome: "ok", attempts: 1 });
    const events = (await session.onlySpan("valet.prompt")).events.map(({ name }) => name);
    expect(events).toEqual(["valet.runner.disconnected", "valet.runner.reconnected"]);
    expect(await session.timers()).not.toContain("grace");
  });

  test("for good: its generation ends, and its open spans are sealed as lost", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { dispatch } = await runner.next("prompt");
    const started: ReadableSpan[] = [];
    const dispatched = await session.onlySpan("valet.prompt.dispatch");
    const tracer = new Tracer({
      scope: { name: "runner" },
      processor: { onStart: (span) => started.push(span), onEnd: () => {} },
    });
    const parent = {
      traceId: dispatched.traceId,
      spanId: dispatched.spanId,
      traceFlags: 1,
      traceState: "",
      isRemote: true,
    };
    tracer.startSpan("valet.turn", { parent, attributes: { "valet.session.id": session.id } });
    const span = serialiseSpan(started[0] as ReadableSpan);
    runner.send({ type: "attempt-accepted", attemptId: dispatch.attemptId, span });
    await session.messageIs(id, { status: "accepted" });
    expect(await session.onlySpan("valet.turn")).toMatchObject({ isOpen: true });

    runner.close();
    await eventually(async () => expect(await session.timers()).toContain("grace"));
    await session.elapse("grace");
    await eventually(async () =>
      expect(await session.onlySpan("valet.turn")).toMatchObject({
        isOpen: false,
        attributes: { "valet.outcome": "lost", "error.type": "runner_lost" },
      }),
    );
    // What the lost runner's sandbox holds is kept: the message is tried again in the same files.
    await session.reaches("restoring");
    const [sleep] = await session.spans("valet.sandbox.hibernate");
    expect(sleep?.attributes).toMatchObject({ "valet.outcome": "ok", "valet.hibernate.reason": "runner_lost" });
    const [restore] = await session.spans("valet.sandbox.restore");
    expect(restore?.attributes["valet.snapshot.id"]).toBe(sleep?.attributes["valet.snapshot.id"]);
  });

  test("without a close is detected by its silence", async () => {
    const { session, runner } = await TestSession.running();
    await session.elapse("link");
    expect((await session.view()).agent).toBe("idle");
    vi.useFakeTimers({ now: Date.now() + 10 * 60_000, toFake: ["Date"] });
    try {
      await session.elapse("link");
    } finally {
      vi.useRealTimers();
    }
    expect((await session.view()).agent).toBe("disconnected");
    await eventually(() => expect(runner.closed).toBeDefined());
  });

  test("with the object: hibernated sockets continue, lost sockets begin the grace period", async () => {
    const { session, runner } = await TestSession.running();
    await session.evict("hibernate");
    await session.send("one");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    await session.evict("close");
    await eventually(async () => expect((await session.view()).agent).toBe("disconnected"));
    expect(await session.timers()).toContain("grace");
    await (await session.connect(runner.instanceId)).hello({ ready: true });
    expect((await session.view()).agent).toBe("idle");
  });
});

describe("the same frame twice", () => {
  test("of a turn: the turn ends once, and the frame is acknowledged both times", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    runner.send({ type: "attempt-accepted", attemptId });
    await runner.end(attemptId);
    await runner.end(attemptId, { outcome: "error", errorType: "opencode_died" });
    expect(await session.message(id)).toMatchObject({ outcome: "ok" });
    expect(valueIn(await session.stub.turns()).turns).toHaveLength(1);
    expect(await session.spans("valet.prompt")).toHaveLength(1);
  });

  test("of spans: they are stored once, and acknowledged both times", async () => {
    const { session, runner } = await TestSession.running();
    const otlp = spanFrame(session, "valet.runner.bootstrap");
    for (let i = 0; i < 2; i++) {
      runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp });
      expect(await runner.next("spans-ack")).toMatchObject({ instanceId: runner.instanceId, seq: 1 });
    }
    expect(await session.spans("valet.runner.bootstrap")).toHaveLength(1);
  });

  test("of spans of another session: acknowledged, and not stored", async () => {
    const { session, runner } = await TestSession.running();
    runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp: spanFrame(new TestSession(), "theirs") });
    await runner.next("spans-ack");
    expect(await session.spans("theirs")).toEqual([]);
  });
});

describe("the end of a turn that carries the last spans", () => {
  const frame = (session: TestSession, runner: FakeRunner, seq: number, name: string) => ({
    instanceId: runner.instanceId,
    seq,
    otlp: spanFrame(session, name),
  });

  test("stores them after the frames before, and one frame acknowledges everything", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    // It still waits for others when the end arrives.
    runner.send({ type: "spans", ...frame(session, runner, 1, "first") });
    const spans = frame(session, runner, 2, "last");
    const ended: FromRunnerOf<"turn-ended"> = { type: "turn-ended", attemptId, outcome: "ok", parts: [], spans };
    runner.send(ended);
    const acknowledged = { type: "turn-ended-ack", attemptId, spans: { instanceId: runner.instanceId, seq: 2 } };
    expect(await runner.next("turn-ended-ack")).toEqual(acknowledged);
    expect(runner.heard.filter(({ type }) => type === "spans-ack")).toEqual([]);
    await session.messageIs(id, { outcome: "ok" });
    // A repetition, as over a new link.
    runner.send(ended);
    expect(await runner.next("turn-ended-ack")).toEqual(acknowledged);
    for (const name of ["first", "last"]) expect(await session.spans(name)).toHaveLength(1);
  });

  test("ends it also if they cannot be stored; then they are stored and acknowledged as soon as they can be", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    await runInDurableObject(session.stub, (_object, { storage }) => {
      storage.sql.exec("ALTER TABLE trace_instances RENAME TO elsewhere");
    });
    const spans = frame(session, runner, 1, "last");
    runner.send({ type: "turn-ended", attemptId, outcome: "ok", parts: [], spans });
    expect(await runner.next("turn-ended-ack")).toEqual({ type: "turn-ended-ack", attemptId });
    await session.messageIs(id, { outcome: "ok" });
    expect(said).toHaveBeenCalled();
    await runInDurableObject(session.stub, (_object, { storage }) => {
      storage.sql.exec("ALTER TABLE elsewhere RENAME TO trace_instances");
    });
    expect((await session.onlySpan("valet.prompt")).isOpen).toBe(false);
    expect(await runner.next("spans-ack")).toMatchObject({ seq: 1 });
    expect(await session.spans("last")).toHaveLength(1);
    said.mockRestore();
  });
});

test("the runner delivers its predecessor's spans under the predecessor's instance id", async () => {
  const { session, runner: first } = await TestSession.running();
  first.close();
  const second = await (await session.connect()).hello({ ready: true });
  second.send({ type: "spans", instanceId: first.instanceId, seq: 1, otlp: spanFrame(session, "left") });
  expect(await second.next("spans-ack")).toMatchObject({ instanceId: first.instanceId });
  expect(await session.spans("left")).toHaveLength(1);
});

test("the clock offset is measured at hello and sent to the runner", async () => {
  const session = new TestSession();
  await session.create();
  const runner = await (await session.connect()).hello({ clockMs: Date.now() + 60_000 });
  const { clockOffsetMs } = await runner.next("config");
  expect(clockOffsetMs).toBeGreaterThan(50_000);
  expect(clockOffsetMs).toBeLessThanOrEqual(60_000);
});

test("the platform answers pings without the object", async () => {
  const { session, runner } = await TestSession.running();
  runner.sendRaw("ping");
  await session.send("work");
  await runner.next("prompt");
  expect(runner.heard.filter(({ type }) => type === "error")).toEqual([]);
  expect(valueIn(await session.stub.abort(CALLER)).agent).toBe("busy");
});
