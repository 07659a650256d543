/** The object of a session as the Worker calls it: lists, permissions, sockets of clients, and the projection to D1. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { applyPartDelta } from "@valet/shared/protocol/part-delta-codec";
import { TurnRecord } from "@valet/shared/protocol/session-view";
import { spansOfSkeleton } from "@valet/shared/protocol/skeleton-codec";
import type { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { encodeTraces, extractFromHeaders, type ReadableSpan, serialiseSpan } from "@valet/shared/tracing";
import { describe, expect, inject, test, vi } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { eventually } from "../../test/eventually.ts";
import { type FakeRunner, NO_WORK } from "../../test/fake-runner.ts";
import { RunnerSpans } from "../../test/runner-spans.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";
import { listSessions } from "../database/sessions.ts";
import { newId } from "./core/ids.ts";
import { SessionAgent } from "./session-agent.ts";

/** Opens a client's socket and stores the events that it receives. */
async function watch(session: TestSession) {
  const request = new Request("https://session/client", { headers: { upgrade: "websocket" } });
  const { webSocket } = await session.stub.fetch(request);
  if (webSocket === null) throw new Error("no socket");
  const told: ClientEvent[] = [];
  const closed: number[] = [];
  webSocket.addEventListener("message", ({ data }) => {
    if (data !== "pong") told.push(ClientEvent.parse(JSON.parse(data as string)));
  });
  webSocket.addEventListener("close", ({ code }) => {
    closed.push(code);
  });
  webSocket.accept();
  return { told, closed, socket: webSocket };
}

describe("a session", () => {
  test("is created once, by one owner, and does not exist before", async () => {
    const session = new TestSession();
    expect(await session.stub.view()).toMatchObject({ ok: false, problem: { status: 404 } });
    expect(await session.stub.sendMessage({ content: "x" }, CALLER)).toMatchObject({ problem: { status: 404 } });
    const made = await session.create({ title: "Mine", repoUrl: "https://u:p@git.example/a.git", model: "a/b" });
    expect(made).toMatchObject({
      title: "Mine",
      repoUrl: "https://git.example/a.git",
      model: "a/b",
      status: "starting",
    });
    expect((await session.create({ title: "Again" })).title).toBe("Mine");
    const theirs = await session.stub.create({ id: session.id }, { ownerId: "own_2" });
    expect(theirs).toMatchObject({ ok: false, problem: { status: 409 } });
    expect(await session.broker.calls("create")).toHaveLength(1);
  });

  test("was updated when something last happened: a message was accepted, a turn ended; D1 says the same", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const acceptedAt = (await session.message(id)).acceptedAt;
    expect((await session.view()).updatedAt).toBe(acceptedAt);
    const { attemptId } = await runner.accept();
    await eventually(() => expect(Date.now()).toBeGreaterThan(Date.parse(acceptedAt)));
    await runner.end(attemptId);
    const [turn] = valueIn(await session.stub.turns()).turns;
    const { updatedAt } = await session.view();
    expect(turn?.ended_at).toBe(updatedAt);
    const stored = "SELECT updated_at, json_extract(view, '$.updatedAt') AS shown FROM sessions WHERE id = ?";
    await eventually(async () => {
      const row = await bindings.DB.prepare(stored).bind(session.id).first();
      expect(row).toEqual({ updated_at: updatedAt, shown: updatedAt });
    });
  });

  test("whose first message is too large is not created", async () => {
    const session = new TestSession();
    const made = await session.stub.create({ id: session.id, prompt: "\u{1f600}".repeat(110_000) }, CALLER);
    expect(made).toMatchObject({ ok: false, problem: { status: 413 } });
    expect(await session.stub.view()).toMatchObject({ ok: false, problem: { status: 404 } });
  });

  test("shows no credentials in its view", async () => {
    const session = new TestSession();
    const view = await session.create({ repoUrl: "https://user:canary@git.example/a.git" });
    const { traces } = valueIn(await session.stub.traces());
    const spans = await Promise.all(traces.map(({ traceId }) => session.stub.readTrace(traceId)));
    expect(spans).toHaveLength(1);
    expect(JSON.stringify([view, spans])).not.toContain("canary");
  });

  test("works the same with tracing off, and propagates contexts", async () => {
    const id = newId("ses");
    const stub = bindings.SESSION_AGENT.get(bindings.SESSION_AGENT.idFromName(id));
    await runInDurableObject(stub, async (_object, ctx) => {
      const agent = new SessionAgent(ctx, { ...bindings, OTEL_SDK_DISABLED: "true" });
      valueIn(await agent.create({ id }, CALLER));
      const accepted = valueIn(await agent.sendMessage({ id: "m", content: "x" }, CALLER));
      expect(accepted.traceId).toBe("a".repeat(32));
      expect(valueIn(await agent.sendMessage({ content: "y" }, { ownerId: "own_1" })).traceId).toBeUndefined();
      expect(valueIn(await agent.withdraw("m", CALLER))).toMatchObject({ outcome: "aborted" });
      valueIn(await agent.terminate(CALLER));
      expect(valueIn(await agent.traces()).traces).toEqual([]);
    });
    // The object that the platform made knows nothing of this one.
    await evictDurableObject(stub);
  });
});

describe("lists", () => {
  test("of messages have pages in order", async () => {
    const { session } = await TestSession.running();
    const ids = await runInDurableObject(session.stub, async (object) => {
      const sent: string[] = [];
      for (let i = 0; i < 60; i++) sent.push(valueIn(await object.sendMessage({ content: `${i}` }, CALLER)).messageId);
      return sent;
    });
    const first = valueIn(await session.stub.messages());
    const second = valueIn(await session.stub.messages(first.nextCursor));
    expect([...first.messages, ...second.messages].map(({ id }) => id)).toEqual(ids);
    expect(second.nextCursor).toBeUndefined();
  });

  test("of messages limit pages by bytes, from either end", async () => {
    const { session } = await TestSession.running();
    const ids = await runInDurableObject(session.stub, async (object, { storage }) => {
      const sent: string[] = [];
      for (let i = 0; i < 50; i++) sent.push(valueIn(await object.sendMessage({ content: `${i}` }, CALLER)).messageId);
      // As long as answers, and what was asked, may get together: 50 MB in all.
      storage.sql.exec("UPDATE jobs SET body = json_set(body, '$.content', ?)", "語".repeat(350_000));
      return sent;
    });
    for (const order of ["asc", "desc"] as const) {
      const seen: string[] = [];
      let page = valueIn(await session.stub.messages(undefined, order));
      let pages = 1;
      for (; page.nextCursor !== undefined; pages++) {
        seen.push(...page.messages.map(({ id }) => id));
        page = valueIn(await session.stub.messages(page.nextCursor));
      }
      seen.push(...page.messages.map(({ id }) => id));
      expect(seen).toEqual(order === "asc" ? ids : ids.toReversed());
      expect(pages).toBeGreaterThan(5);
    }
  });

  test("of messages may begin with the newest, and cursors stay valid while messages arrive", async () => {
    const { session } = await TestSession.running();
    const send = (count: number) =>
      runInDurableObject(session.stub, async (object) => {
        const sent: string[] = [];
        for (let i = 0; i < count; i++) {
          sent.push(valueIn(await object.sendMessage({ content: `${i}` }, CALLER)).messageId);
        }
        return sent;
      });
    const ids = await send(60);
    const first = valueIn(await session.stub.messages(undefined, "desc"));
    await send(5);
    const second = valueIn(await session.stub.messages(first.nextCursor, "desc"));
    expect([...first.messages, ...second.messages].map(({ id }) => id)).toEqual(ids.toReversed());
    expect(second.nextCursor).toBeUndefined();
    expect(await session.stub.messages(first.nextCursor, "asc")).toMatchObject({ problem: { status: 400 } });
    const oldest = valueIn(await session.stub.messages());
    expect(await session.stub.messages(oldest.nextCursor, "desc")).toMatchObject({ problem: { status: 400 } });
  });

  test("of traces begin with the newest; an unknown trace is not found", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    const under = valueIn(await session.stub.traces()).traces;
    expect(under.map(({ openSpans }) => openSpans)).toEqual([1, 0]);
    runner.send({ type: "stopped" });
    await session.reaches("hibernated");
    const { traces } = valueIn(await session.stub.traces());
    expect(traces.map(({ name, openSpans }) => [name, openSpans])).toEqual([
      ["valet.sandbox.hibernate", 0],
      ["valet.sandbox.spawn", 0],
    ]);
    expect(await session.stub.readTrace("f".repeat(32))).toMatchObject({ ok: false, problem: { status: 404 } });
  });

  test.each(["nonsense", "WzFd", btoa('["x"]'), btoa('["1","2","3"]')])("refuse the cursor %j", async (cursor) => {
    const { session } = await TestSession.running();
    const { stub } = session;
    for (const result of [await stub.messages(cursor), await stub.turns(cursor), await stub.traces(cursor)]) {
      expect(result).toMatchObject({ ok: false, problem: { status: 400 } });
    }
  });

  test("of turns contain the runner's and the session's measurements", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work", { channel: "side" });
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    const [turn] = valueIn(await session.stub.turns()).turns;
    expect(TurnRecord.parse(turn)).toMatchObject({
      attempt_id: attemptId,
      message_ids: [id],
      session_id: session.id,
      channel: "side",
      outcome: "ok",
      trace_id: "a".repeat(32),
      error_type: null,
      model: "valet/scripted",
      generation: 1,
      attempt: 1,
      model_calls: 1,
      tool_calls: 1,
      tokens_input: 100,
      tokens_cache_read: 50,
      cost_usd: 0.01,
      time_to_first_token_ms: 2,
      model_ms: 3,
      tool_ms: 1,
      sandbox_ms: 0,
      bootstrap_ms: 0,
    });
  });

  test.each(["lost", "aborted"])(
    "of a turn whose runner was lost, and that is %s, keep the calls that it had told, the cost as a lower bound, and no durations",
    async (outcome) => {
      const { session, runner } = await TestSession.running();
      await session.send("work");
      const { attemptId } = await runner.accept();
      const progress = [{ attemptId, summary: NO_WORK }];
      runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp: '{"resourceSpans":[]}', progress });
      await runner.next("spans-ack");
      if (outcome === "aborted") {
        valueIn(await session.stub.abort(CALLER));
        await runner.next("abort");
      }
      runner.send({ type: "turn-ended", attemptId, outcome: "error", errorType: "runner_lost", parts: [] });
      await runner.next("turn-ended-ack");
      const [turn] = valueIn(await session.stub.turns()).turns;
      expect(TurnRecord.parse(turn)).toMatchObject({
        outcome,
        ...{ model_calls: 1, tool_calls: 1, tokens_input: 100, cost_usd: 0.01, time_to_first_token_ms: 2, tools: null },
        ...{ prepare_ms: null, model_ms: null, tool_ms: null, permission_wait_ms: null },
        // The runner may have called a model since it told that.
        ...{ calls_without_cost: 1, calls_without_usage: 1 },
      });
    },
  );

  test("of turns state unknown values, and how many calls the sums lack", async () => {
    const { session, runner } = await TestSession.running();
    const tokens = { input: 100, output: null, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
    await session.send("one");
    await runner.end((await runner.accept()).attemptId, {
      summary: { ...NO_WORK, tokens, costUsd: null, callsWithoutUsage: 1, callsWithoutCost: 1, prepareMs: 7 },
    });
    await session.send("two");
    const { attemptId } = await runner.accept();
    runner.send({ type: "turn-ended", attemptId, outcome: "error", errorType: "_OTHER", parts: [] });
    await runner.next("turn-ended-ack");
    const [first, second] = valueIn(await session.stub.turns()).turns;
    expect(TurnRecord.parse(first)).toMatchObject({
      tokens_input: 100,
      tokens_output: null,
      cost_usd: null,
      prepare_ms: 7,
      model_calls: 1,
      calls_without_usage: 1,
      calls_without_cost: 1,
      calls_with_odd_usage: 0,
    });
    expect(TurnRecord.parse(second)).toMatchObject({
      model_ms: null,
      tool_ms: null,
      permission_wait_ms: null,
      model_calls: null,
      tool_calls: null,
      tool_errors: null,
      retries: null,
      tokens_input: null,
      tokens_output: null,
      tokens_cache_read: null,
      tokens_cache_write: null,
      tokens_reasoning: null,
      cost_usd: null,
      prepare_ms: null,
      time_to_first_token_ms: null,
      calls_without_usage: null,
      calls_without_cost: null,
    });
    // Into D1, too.
    await eventually(async () => {
      const row = await bindings.DB.prepare("SELECT * FROM turns WHERE attempt_id = ?").bind(attemptId).first();
      expect(row).toMatchObject({ tokens_input: null, cost_usd: null, model_calls: null });
    });
  });

  test("of spans are lines of OTLP", async () => {
    const { session } = await TestSession.running();
    const text = await new Response(valueIn(await session.stub.spans())).text();
    const lines = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.every(({ resourceSpans }) => Array.isArray(resourceSpans))).toBe(true);
    expect(text).toContain("valet.sandbox.spawn");
  });
});

describe("a permission request of the agent", () => {
  async function asking() {
    const { session, runner } = await TestSession.running();
    const messageId = await session.send("work");
    const { attemptId } = await runner.accept();
    runner.send({
      type: "permission-asked",
      attemptId,
      permissionId: "per_1",
      permission: "bash",
      detail: "rm -rf build",
    });
    await eventually(async () => expect((await session.view()).permissions).toHaveLength(1));
    return { session, runner, messageId, attemptId };
  }

  test("is shown, and answered once", async () => {
    const { session, runner, messageId } = await asking();
    const { permissions } = await session.view();
    expect(permissions[0]).toMatchObject({ id: "per_1", messageId, permission: "bash", detail: "rm -rf build" });
    expect(valueIn(await session.stub.replyPermission("per_1", "once", CALLER)).permissions).toEqual([]);
    expect(await runner.next("permission-reply")).toMatchObject({ permissionId: "per_1", reply: "once" });
    expect(await session.stub.replyPermission("per_1", "once", CALLER)).toMatchObject({
      problem: { status: 409, detail: "It was answered before, and this answer was not delivered." },
    });
    expect(await session.stub.replyPermission("per_2", "once", CALLER)).toMatchObject({ problem: { status: 404 } });
  });

  test.each([
    ["aborted", "user_abort"],
    ["error", "turn_time_limit"],
  ] as const)(
    "that is answered after its turn has ended (%s, %s) is refused, and says why",
    async (outcome, reason) => {
      const { session, runner, messageId, attemptId } = await asking();
      if (outcome === "aborted") {
        valueIn(await session.stub.abort(CALLER));
        await runner.next("abort");
      }
      await runner.end(attemptId, { outcome, errorType: reason });
      expect((await session.view()).permissions).toEqual([]);
      const late = await session.stub.replyPermission("per_1", "once", CALLER);
      expect(late).toMatchObject({
        problem: {
          type: "urn:valet:problem:request-closed",
          status: 409,
          detail: `The turn that asked has ended (\`${reason}\`), so this answer was not delivered. Send a message to go on.`,
        },
      });
      const { failure, sentence } = valueIn(await session.stub.why("message", messageId));
      expect([failure?.type, sentence]).toEqual([reason, expect.stringContaining(`\`${reason}\``)]);
      expect((await session.message(messageId)).outcome).toBe(outcome);
      const [turn] = valueIn(await session.stub.turns()).turns;
      expect(turn?.answered_by).toBeNull();
    },
  );

  test("cannot be answered while the runner is disconnected, and can be when it is back", async () => {
    const { session, runner, attemptId } = await asking();
    runner.close();
    await eventually(async () => expect((await session.view()).agent).toBe("disconnected"));
    expect(await session.stub.replyPermission("per_1", "always", CALLER)).toMatchObject({ problem: { status: 409 } });
    const back = await (await session.connect(runner.instanceId)).hello({ ready: true, attempts: [attemptId] });
    valueIn(await session.stub.replyPermission("per_1", "always", CALLER));
    expect(await back.next("permission-reply")).toMatchObject({ reply: "always" });
  });

  test("that is repeated on a new link has been answered if its answer went over that link, and only then", async () => {
    const { session, runner, attemptId } = await asking();
    const repeat = async (on: FakeRunner) => {
      const asked = { permissionId: "per_1", permission: "bash", detail: "rm -rf build" };
      on.send({ type: "permission-asked", attemptId, ...asked });
      // What follows it has arrived, so it has, too.
      on.send({ type: "permission-asked", attemptId, ...asked, permissionId: `after_${on.instanceId}` });
      const has = async (id: string) => (await session.view()).permissions.some((each) => each.id === id);
      await eventually(async () => expect(await has(`after_${on.instanceId}`)).toBe(true));
      return has("per_1");
    };
    const hello = { ready: true, attempts: [attemptId] };
    const second = await (await session.connect("run_2")).hello(hello);
    valueIn(await session.stub.replyPermission("per_1", "once", CALLER));
    // The runner had sent it before the answer arrived.
    expect(await repeat(second)).toBe(false);
    runner.close();
    // That link has broken, perhaps with the answer under way.
    const third = await (await session.connect("run_3")).hello(hello);
    expect(await repeat(third)).toBe(true);
  });
});

test("the agent's requests are limited to the size of the session's row", async () => {
  const { session, runner } = await TestSession.running();
  await session.send("work");
  const { attemptId } = await runner.accept();
  const questions = Array(10).fill({ question: "q".repeat(2000), header: "h", options: [] });
  for (let i = 0; i < 100; i++) runner.send({ type: "question-asked", attemptId, questionId: `que_${i}`, questions });
  await runner.end(attemptId, { outcome: "error", errorType: "opencode_error" });
  expect((await session.view()).questions).toEqual([]);
  const rows = await bindings.DB.prepare("SELECT LENGTH(view) AS n FROM sessions WHERE id = ?").bind(session.id).all();
  expect(Number((rows.results[0] as { n: number } | undefined)?.n ?? 0)).toBeLessThan(1_000_000);
});

describe("questions of the agent", () => {
  const questions = [{ question: "Which?", header: "Greeting", options: [{ label: "Hello", description: "" }] }];

  async function asking() {
    const { session, runner } = await TestSession.running();
    const messageId = await session.send("work");
    const { attemptId } = await runner.accept();
    runner.send({ type: "question-asked", attemptId, questionId: "que_1", questions });
    await eventually(async () => expect((await session.view()).questions).toMatchObject([{ id: "que_1", messageId }]));
    return { session, runner, attemptId };
  }

  test.each([["answered", [["Hello"]]] as const, ["declined", null] as const])(
    "are shown, and %s once",
    async (_how, answers) => {
      const { session, runner } = await asking();
      expect((await session.view()).questions[0]).toMatchObject({ questions });
      const reply = answers as string[][] | null;
      expect(valueIn(await session.stub.replyQuestion("que_1", reply, CALLER)).questions).toEqual([]);
      expect(await runner.next("question-reply")).toMatchObject({ questionId: "que_1", answers });
      expect(await session.stub.replyQuestion("que_1", reply, CALLER)).toMatchObject({ problem: { status: 409 } });
    },
  );

  test("are no permission requests, and are open again after a reconnect that lost the answer", async () => {
    const { session, runner, attemptId } = await asking();
    expect(await session.stub.replyPermission("que_1", "once", CALLER)).toMatchObject({ problem: { status: 404 } });
    valueIn(await session.stub.replyQuestion("que_1", [["Hello"]], CALLER));
    runner.close();
    const back = await (await session.connect(runner.instanceId)).hello({ ready: true, attempts: [attemptId] });
    back.send({ type: "question-asked", attemptId, questionId: "que_1", questions });
    await eventually(async () => expect((await session.view()).questions).toHaveLength(1));
  });

  test("close with their turn, and the turn is not stuck however long they wait", async () => {
    const { session, runner, attemptId } = await asking();
    await session.elapse("stuck");
    await session.elapse("stuck");
    expect((await session.view()).agent).toBe("busy");
    await runner.end(attemptId);
    expect((await session.view()).questions).toEqual([]);
  });
});

describe("a client's socket", () => {
  test("receives the session, its messages, the parts of the answer, and the turn", async () => {
    const { session, runner } = await TestSession.running();
    const { told } = await watch(session);
    await eventually(() =>
      expect(told[0]).toMatchObject({ type: "session", session: { id: session.id, agent: "idle" } }),
    );
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    runner.send({ type: "part", attemptId, part: { type: "text", id: "p1", text: "thin" } });
    runner.send({ type: "part", attemptId, part: { type: "text", id: "p1", text: "thinking" } });
    await runner.end(attemptId);
    await eventually(() => expect(told).toContainEqual(expect.objectContaining({ type: "turn" })));
    const states = told.flatMap((event) => (event.type === "message" ? [event.message.status] : []));
    expect([...new Set(states)]).toEqual(["dispatched", "accepted", "done"]);
    expect(told).toContainEqual({ type: "part", messageId: id, part: { type: "text", id: "p1", text: "thinking" } });
    const agents = told.flatMap((event) => (event.type === "session" ? [event.session.agent] : []));
    expect(agents).toContain("busy");
    expect(agents.at(-1)).toBe("idle");
    const traces = told.flatMap((event) => (event.type === "spans" ? event.traces : []));
    const own = traces.filter(({ traceId }) => traceId === "a".repeat(32)).map(({ chunk }) => chunk);
    const [prompt] = spansOfSkeleton(own).filter(({ name }) => name === "valet.prompt");
    expect(prompt).toMatchObject({ outcome: "ok", endUs: expect.any(Number) });
  });

  test("is told of open spans whose ends are lost: they are in no skeleton any more", async () => {
    const { session, runner } = await TestSession.running();
    const { told } = await watch(session);
    await session.send("work");
    const { traceparent } = await runner.accept();
    const spans = new RunnerSpans(session);
    const turn = spans.open("valet.turn", extractFromHeaders({ traceparent }), Date.now());
    const { traceId, spanId } = turn.context;
    const send = (seq: number, more: object) =>
      runner.send({ type: "spans", instanceId: runner.instanceId, seq, otlp: encodeTraces({}, []), ...more });
    send(1, { open: [serialiseSpan(turn as unknown as ReadableSpan)] });
    send(2, { lost: [{ reason: "too_large", ids: [[traceId, spanId]] }] });
    const tracesTold = () => told.flatMap((event) => (event.type === "spans" ? event.traces : []));
    await eventually(() => expect(tracesTold()).toContainEqual(expect.objectContaining({ traceId, lost: [spanId] })));
    const { text = "" } = valueIn(await session.stub.readSkeleton(traceId));
    const { chunks } = JSON.parse(text) as TraceSkeleton;
    expect(spansOfSkeleton(chunks).map((span) => span.spanId)).not.toContain(spanId);
  });

  /** The parts of a client, with all deltas applied. */
  function follow(told: readonly ClientEvent[]): Map<string, MessagePart> {
    const parts = new Map<string, MessagePart>();
    for (const event of told) {
      if (event.type === "part") parts.set(event.part.id, event.part);
      if (event.type !== "part-delta") continue;
      const part = applyPartDelta(parts.get(event.delta.partId), event.delta);
      if (part !== undefined) parts.set(part.id, part);
    }
    return parts;
  }

  test("receives additions to a long answer, even if it connects during the answer, or the runner sends deltas", async () => {
    const { session, runner } = await TestSession.running();
    const first = await watch(session);
    await session.send("work");
    const { attemptId } = await runner.accept();
    let text = "x".repeat(2000);
    let second: Awaited<ReturnType<typeof watch>> | undefined;
    for (let i = 0; i < 100; i++) {
      const from = text.length;
      text += `word ${i} `.repeat(20);
      if (i % 10 === 0) runner.send({ type: "part", attemptId, part: { type: "text", id: "p1", text } });
      else {
        const delta = { partId: "p1", field: "text" as const, from, text: text.slice(from) };
        runner.send({ type: "part-delta", attemptId, delta });
      }
      if (i === 49) second = await watch(session);
    }
    const whole = { type: "text", id: "p1", text };
    await eventually(() => expect(follow(first.told).get("p1")).toEqual(whole));
    await eventually(() => expect(follow(second?.told ?? []).get("p1")).toEqual(whole));
    const bytes = JSON.stringify(first.told).length;
    expect(bytes).toBeLessThan(3 * text.length);
    const messages = valueIn(await session.stub.messages()).messages;
    expect(messages.at(-1)?.parts).toEqual([whole]);
  });

  test("that misses the beginning of a part receives it with the runner's next whole part", async () => {
    const { session, runner } = await TestSession.running();
    const { told } = await watch(session);
    await session.send("work");
    const { attemptId } = await runner.accept();
    const text = "x".repeat(5000);
    runner.send({
      type: "part-delta",
      attemptId,
      delta: { partId: "p1", field: "text", from: 4000, text: "y" },
    });
    runner.send({ type: "part", attemptId, part: { type: "text", id: "p1", text } });
    await eventually(() => expect(follow(told).get("p1")).toEqual({ type: "text", id: "p1", text }));
    expect(told.filter(({ type }) => type === "part-delta")).toEqual([]);
  });

  test("that does not read is closed, and one that confirms reading is not", async () => {
    const { session, runner } = await TestSession.running();
    const [silent, reader] = [await watch(session), await watch(session)];
    reader.socket.addEventListener("message", ({ data }) => {
      const event = ClientEvent.parse(JSON.parse(data as string));
      if (event.type === "sync") reader.socket.send(JSON.stringify({ type: "synced", read: event.read }));
    });
    await session.send("work");
    const { attemptId } = await runner.accept();
    const told = (watcher: typeof reader) => watcher.told.filter(({ type }) => type === "part").length;
    let sent = 0;
    const send = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const part = { type: "text" as const, id: `p${sent++}`, text: "x".repeat(90_000) };
        runner.send({ type: "part", attemptId, part });
        await eventually(() => expect(told(reader)).toBe(sent));
      }
    };
    await send(30);
    expect(silent.closed).toEqual([]);
    vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ["Date"] });
    try {
      await send(1);
    } finally {
      vi.useRealTimers();
    }
    await eventually(() => expect(silent.closed).toEqual([1013]));
    await send(30);
    expect(reader.closed).toEqual([]);
    expect(told(silent)).toBeLessThan(40);
  });

  test("may send nothing else, and cannot confirm more than was sent", async () => {
    const { session } = await TestSession.running();
    const { told, socket } = await watch(session);
    socket.send(JSON.stringify({ type: "synced", read: 10 ** 12 }));
    socket.send(JSON.stringify({ type: "synced", read: "all" }));
    await eventually(() => expect(told.filter(({ type }) => type === "error")).toHaveLength(1));
  });

  test("survives an eviction", async () => {
    const { session } = await TestSession.running();
    const { told } = await watch(session);
    await session.evict();
    await session.send("work");
    await eventually(() => expect(told).toContainEqual(expect.objectContaining({ type: "message" })));
  });

  test("that sends other frames receives errors and is closed; others are not affected", async () => {
    const { session } = await TestSession.running();
    const [loud, quiet] = [await watch(session), await watch(session)];
    loud.socket.send("ping");
    loud.socket.send("{nonsense");
    await eventually(() => expect(loud.told).toContainEqual(expect.objectContaining({ type: "error" })));
    for (let i = 0; i < 30; i++) loud.socket.send(new Uint8Array([1]));
    await eventually(() => expect(loud.closed).toEqual([1008]));
    await session.send("work");
    await eventually(() => expect(quiet.told).toContainEqual(expect.objectContaining({ type: "message" })));
    expect(quiet.closed).toEqual([]);
  });

  test("is refused without an upgrade, and beyond the limit", async () => {
    const { session } = await TestSession.running();
    expect((await session.stub.fetch("https://session/client")).status).toBe(426);
    for (let i = 0; i < 64; i++) await watch(session);
    await expect(watch(session)).rejects.toThrow("no socket");
  });
});

describe("the alarm", () => {
  test("exports the recorded spans to the backend", async () => {
    const { session } = await TestSession.running();
    await runInDurableObject(session.stub, async (_object, ctx) => {
      const endpoint = `${inject("broker")}/otlp/${session.id}`;
      const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: "1" };
      const agent = new SessionAgent(ctx, { ...bindings, ...variables });
      valueIn(await agent.sendMessage({ content: "x" }, CALLER));
      // The platform's alarms go to the object that it created, so the test calls this one's alarm.
      await eventually(async () => {
        agent.alarm();
        expect(await session.broker.calls("export")).not.toEqual([]);
      });
    });
    const [call] = await session.broker.calls("export");
    expect(call?.headers).toMatchObject({ "content-encoding": "gzip", "content-type": "application/json" });
    await session.evict();
  });
});

describe("while a variable of the deployment is invalid", () => {
  test("nothing is read or changed, the alarm comes again and again, and the next deployment goes on", async () => {
    const session = new TestSession();
    await session.create({ prompt: "work" });
    await eventually(async () => expect((await session.view()).sandbox).toBeDefined());
    const timers = await session.timers();
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    await runInDurableObject(session.stub, async (_object, ctx) => {
      const invalid = () => new SessionAgent(ctx, { ...bindings, VALET_STOP_MS: "SECRET" });
      const wrong = "VALET_STOP_MS: must be a whole number of milliseconds from 1 to 2147483647";
      const agent = invalid();
      for (const call of [agent.view(), agent.capacity("x"), agent.endAsChild("ses_x", "requested", CALLER)]) {
        await expect(call).rejects.toThrow(wrong);
      }
      const answer = await agent.fetch(new Request("https://session/runner", { headers: { upgrade: "websocket" } }));
      expect([answer.status, await answer.text()]).toEqual([500, `A variable of the deployment is wrong. ${wrong}.\n`]);
      for (const each of [agent, invalid()]) {
        await ctx.storage.deleteAlarm();
        each.alarm();
        expect(await ctx.storage.getAlarm()).toBeGreaterThan(Date.now());
      }
      const logged = log.mock.calls.map(([line]) => String(line)).filter((line) => line.includes("VALET_STOP_MS"));
      expect(logged.map((line) => JSON.parse(line))).toEqual([expect.objectContaining({ setting: wrong })]);
      expect(logged.join()).not.toContain("SECRET");
    });
    log.mockRestore();
    await session.evict();
    // The projection to D1 may be over by now.
    expect(await session.timers()).toEqual(expect.arrayContaining(timers.filter((kind) => kind !== "projection")));
    expect(await session.view()).toMatchObject({ status: "starting", queueLength: 1 });
  });

  test("an object that has stored nothing stays empty", async () => {
    const id = newId("ses");
    const stub = bindings.SESSION_AGENT.get(bindings.SESSION_AGENT.idFromName(id));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    await runInDurableObject(stub, async (_object, ctx) => {
      const agent = new SessionAgent(ctx, { ...bindings, VALET_COMMIT_TRAILERS: "maybe" });
      agent.alarm();
      expect(await agent.view()).toMatchObject({ ok: false });
      await expect(agent.create({ id }, CALLER)).rejects.toThrow("VALET_COMMIT_TRAILERS: must be `true` or `false`");
      expect([await ctx.storage.getAlarm(), ctx.storage.sql.exec("SELECT * FROM sqlite_master").toArray()]).toEqual([
        null,
        [],
      ]);
    });
    log.mockRestore();
  });
});

describe("an answer", () => {
  test("that is unfinished survives an eviction, except for its last part", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    for (const part of ["one", "two", "three"]) {
      runner.send({ type: "part", attemptId, part: { type: "text", id: part, text: part } });
    }
    await eventually(async () => expect((await session.message(id)).parts).toHaveLength(3));
    await session.evict();
    expect((await session.message(id)).parts.map((part) => part.id)).toEqual(["one", "two"]);
    await runner.end(attemptId, { parts: [{ type: "text", id: "all", text: "all of it" }] });
    expect((await session.message(id)).parts.map((part) => part.id)).toEqual(["all"]);
  });
});

describe("D1", () => {
  const OWNER = "own_projection";

  async function projected(session: TestSession) {
    return (await listSessions(bindings.DB, OWNER, 100)).find(({ id }) => id === session.id);
  }

  test("receives the session and its turns", async () => {
    const session = new TestSession();
    valueIn(await session.stub.create({ id: session.id, title: "Listed" }, { ownerId: OWNER }));
    await eventually(async () =>
      expect(await projected(session)).toMatchObject({ title: "Listed", status: "starting" }),
    );
    const runner = await (await session.connect()).ready();
    await session.send("work");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    await eventually(async () => {
      expect(await projected(session)).toMatchObject({ status: "running", agent: "idle" });
      const turn = await bindings.DB.prepare("SELECT * FROM turns WHERE attempt_id = ?").bind(attemptId).first();
      expect(turn).toMatchObject({ owner_id: OWNER, session_id: session.id, outcome: "ok", tokens_input: 100 });
    });
    await eventually(async () => expect(await session.timers()).not.toContain("projection"));
  });

  test("receives after an outage what it missed", async () => {
    const session = new TestSession();
    await bindings.DB.prepare("ALTER TABLE sessions RENAME TO away").run();
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    try {
      valueIn(await session.stub.create({ id: session.id, title: "canary" }, { ownerId: OWNER }));
      await session.elapse("projection");
      await eventually(() => expect(log).toHaveBeenCalled());
      expect(JSON.stringify(log.mock.calls)).not.toContain("canary");
    } finally {
      log.mockRestore();
      await bindings.DB.prepare("ALTER TABLE away RENAME TO sessions").run();
    }
    await session.evict();
    await session.view();
    await eventually(async () => expect(await projected(session)).toMatchObject({ id: session.id }));
  });
});

test("spans from the Worker are stored with the session; other data is ignored", async () => {
  const { session } = await TestSession.running();
  await session.stub.recordSpans("{nonsense");
  await session.stub.recordSpans('{"resourceSpans":[]}');
  expect((await session.view()).status).toBe("running");
});
