/**
 * The queue and the rule of attempts, on the real object: what happens to a message whatever the runner does, and what its
 * spans say of it. The runner's side is spoken by the test (test/fake-runner.ts), the broker is scripted.
 */
import { runInDurableObject } from "cloudflare:test";
import type { SendMessage } from "@valet/shared/protocol/session-api";
import type { MessageView } from "@valet/shared/protocol/session-view";
import { explain } from "@valet/shared/spans";
import { describe, expect, test, vi } from "vitest";
import type { FakeRunner } from "../../test/fake-runner.ts";
import { CALLER, type SeenSpan, TestSession, valueIn } from "../../test/session.ts";

const CALLER_TRACE = "a".repeat(32);

function outcomeOf(span: SeenSpan): [unknown, unknown] {
  const { "valet.outcome": outcome, "error.type": errorType, "valet.outcome.reason": reason } = span.attributes;
  return [outcome, errorType ?? reason];
}

function reasonsOf(wait: SeenSpan): unknown[] {
  return wait.events.map(({ attributes }) => attributes["valet.queue.reason"]);
}

/** Works on whatever comes next. */
async function work(runner: FakeRunner) {
  const dispatch = await runner.accept();
  await runner.end(dispatch.attemptId);
  return dispatch;
}

describe("a message", () => {
  test("goes from acceptance to its outcome in one trace, the caller's", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("do it", { threadId: "thread-1" });
    const dispatch = await work(runner);
    expect(dispatch).toMatchObject({ messageId: id, messageIds: [id], content: "do it", attempt: 1, channel: "main" });
    expect(await session.message(id)).toMatchObject({
      status: "done",
      outcome: "ok",
      attempts: 1,
      traceId: CALLER_TRACE,
      queueReason: "immediate",
      parts: [{ type: "text", text: "done" }],
    });
    const prompt = await session.onlySpan("valet.prompt");
    const wait = await session.onlySpan("valet.queue.wait");
    const dispatched = await session.onlySpan("valet.prompt.dispatch");
    expect(prompt).toMatchObject({ traceId: CALLER_TRACE, parentSpanId: "b".repeat(16), kind: 1, status: 0 });
    expect(wait).toMatchObject({ traceId: CALLER_TRACE, parentSpanId: prompt.spanId });
    expect(dispatched).toMatchObject({ traceId: CALLER_TRACE, parentSpanId: prompt.spanId, kind: 4 });
    expect(dispatched.attributes).toMatchObject({
      "valet.queue.reason": "immediate",
      "valet.queue.mode": "followup",
      "valet.dispatch.sent": true,
      "valet.dispatch.attempt_id": dispatch.attemptId,
      "valet.dispatch.attempt": 1,
      "valet.thread.id": "thread-1",
    });
    expect([prompt, wait, dispatched].map(outcomeOf)).toEqual(Array(3).fill(["ok", undefined]));
    expect(dispatch.traceparent).toBe(`00-${CALLER_TRACE}-${dispatched.spanId}-03`);
    for (const inner of [wait, dispatched]) {
      expect(inner.startNs).toBeGreaterThanOrEqual(prompt.startNs);
      expect(inner.endNs).toBeLessThanOrEqual(prompt.endNs);
    }
    expect(wait.endNs).toBeLessThanOrEqual(dispatched.startNs);
    for (const span of await session.spans()) {
      const { attributes } = span;
      const ids = [attributes["valet.session.id"], attributes["session.id"], attributes["gen_ai.conversation.id"]];
      if (span.kind !== 2) expect(ids, span.name).toEqual([session.id, session.id, session.id]);
    }
  });

  test("without a caller begins a trace of its own", async () => {
    const { session, runner } = await TestSession.running();
    const { traceId } = valueIn(await session.stub.sendMessage({ content: "x" }, { ownerId: "own_1" }));
    await work(runner);
    expect(await session.onlySpan("valet.prompt")).toMatchObject({ traceId, parentSpanId: undefined });
  });

  test("is idempotent: the same id twice is one message, at any time", async () => {
    const { session, runner } = await TestSession.running();
    const first = valueIn(await session.stub.sendMessage({ id: "mine", content: "one" }, CALLER));
    await session.send("one", { id: "mine" });
    const dispatch = await work(runner);
    expect(dispatch.content).toBe("one");
    const again = valueIn(await session.stub.sendMessage({ id: "mine", content: "one" }, CALLER));
    expect(again).toMatchObject({ messageId: "mine", status: "done", traceId: first.traceId });
    expect(await session.spans("valet.prompt")).toHaveLength(1);
    expect((await session.view()).queueLength).toBe(0);
  });

  test.each([
    ["content", { content: "two" }],
    ["channel", { channel: "side" }],
    ["mode", { queueMode: "steer" }],
    ["model", { model: "valet/test" }],
    ["attachments", { attachments: [{ filename: "a.txt", mediaType: "text/plain", url: "data:,a" }] }],
  ] satisfies [string, Partial<SendMessage>][])(
    "with the same id and another %s is refused, queued or done",
    async (_what, other) => {
      const { session, runner } = await TestSession.running();
      const sent = { id: "mine", content: "one" };
      const taken = { ok: false, problem: { status: 409, type: "urn:valet:problem:id-taken" } };
      await session.stub.sendMessage(sent, CALLER);
      expect(await session.stub.sendMessage({ ...sent, ...other }, CALLER)).toMatchObject(taken);
      expect((await work(runner)).content).toBe("one");
      expect(await session.stub.sendMessage({ ...sent, ...other }, CALLER)).toMatchObject(taken);
      expect(await session.spans("valet.prompt")).toHaveLength(1);
    },
  );

  test("that is too large is refused and records no span", async () => {
    const { session } = await TestSession.running();
    const attachments = [1, 2].map((n) => ({
      filename: `${n}.txt`,
      mediaType: "text/plain",
      url: `data:,${"x".repeat(300_000)}`,
    }));
    const result = await session.stub.sendMessage({ content: "see", attachments }, CALLER);
    expect(result).toMatchObject({ ok: false, problem: { status: 413 } });
    expect(await session.spans("valet.prompt")).toEqual([]);
  });

  test("reaches the runner with all of its fields", async () => {
    const { session, runner } = await TestSession.running({ models: ["a/b", "c/d"], model: "e/f" });
    const attachments = [{ filename: "a.txt", mediaType: "text/plain", url: "data:,a" }];
    await session.send("see", { attachments, model: "g/h", replyChannel: "reply", channel: "side" });
    expect(await work(runner)).toMatchObject({
      attachments,
      model: "g/h",
      models: ["a/b", "c/d"],
      replyChannel: "reply",
      channel: "side",
    });
    await session.send("next", { channel: "side" });
    expect(await work(runner)).toMatchObject({ model: "e/f", opencodeSessionId: "oc_1" });
  });
});

test("a batch holds only messages that name the same models", async () => {
  const { session, runner } = await TestSession.running({ queueMode: "collect", models: ["valet/a", "valet/b"] });
  // While another turn has the channel, none of them is dispatched before all are there, however long that takes.
  await session.send("zero", { queueMode: "followup" });
  const { attemptId: first } = await runner.accept();
  for (const [content, model] of [
    ["one", "valet/a"],
    ["two", "valet/a"],
    ["three", "valet/b"],
    ["four", undefined],
  ] as const) {
    await session.send(content, model === undefined ? {} : { model });
  }
  const seen: unknown[] = [];
  await session.ripen();
  await runner.end(first);
  for (let batch = 0; batch < 3; batch++) {
    const { attemptId, content, model } = await runner.accept();
    seen.push([content, model]);
    await runner.end(attemptId);
  }
  expect(seen).toEqual([
    ["one\n\ntwo", "valet/a"],
    ["three", "valet/b"],
    ["four", undefined],
  ]);
});

describe("followup", () => {
  test("runs one turn at a time in a channel, and channels in parallel", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("a1", { channel: "a" });
    const second = await session.send("a2", { channel: "a" });
    await session.send("b1", { channel: "b" });
    const [a1, b1] = [await runner.accept(), await runner.accept()];
    expect([a1.content, b1.content].sort()).toEqual(["a1", "b1"]);
    expect(await session.message(second)).toMatchObject({ status: "queued", queueReason: "runner_busy" });
    expect((await session.view()).queueLength).toBe(1);
    await runner.end(a1.content === "a1" ? a1.attemptId : b1.attemptId);
    expect(await work(runner)).toMatchObject({ content: "a2", queue: { reason: "runner_busy", mode: "followup" } });
    const waits = await session.spans("valet.queue.wait");
    const wait = waits.find(({ attributes }) => attributes["valet.message.id"] === second);
    const turns = await session.spans("valet.prompt.dispatch");
    const before = turns.find(({ attributes }) => attributes["valet.dispatch.attempt_id"] === a1.attemptId);
    expect(wait && reasonsOf(wait)).toEqual(["runner_busy"]);
    expect(wait?.links).toEqual([{ type: "waited_on", traceId: before?.traceId, spanId: before?.spanId }]);
  });

  test("gives each message a wait span of its own", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("first");
    const first = await runner.accept();
    // The clock stands still but for what the test moves it.
    const startMs = Date.now();
    vi.useFakeTimers({ now: startMs, toFake: ["Date"] });
    try {
      const early = await session.send("early");
      vi.setSystemTime(startMs + 1000);
      const late = await session.send("late");
      await runner.end(first.attemptId);
      for (const [id, sinceMs] of [
        [early, startMs],
        [late, startMs + 1000],
      ] as const) {
        const { queue } = await work(runner);
        const { acceptedAt, dispatchedAt } = await session.message(id);
        expect(Date.parse(acceptedAt)).toBe(sinceMs);
        expect(queue.waitMs).toBe(Date.parse(dispatchedAt ?? "") - sinceMs);
      }
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("steer", () => {
  test("behaves like any other mode while the channel is idle", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("go", { queueMode: "steer" });
    expect((await work(runner)).queue).toMatchObject({ mode: "steer", reason: "immediate" });
    expect(runner.heard.filter(({ type }) => type === "abort")).toEqual([]);
  });

  test("aborts the running turn of its channel and goes first; other channels continue", async () => {
    const { session, runner } = await TestSession.running();
    const running = await session.send("running");
    const first = await runner.accept();
    await session.send("elsewhere", { channel: "other" });
    const elsewhere = await runner.accept();
    await session.send("queued before");
    const steer = await session.send("now", { queueMode: "steer" });
    expect(await runner.next("abort")).toMatchObject({ attemptId: first.attemptId, reason: "steered" });
    await runner.end(first.attemptId, { outcome: "aborted", errorType: "steered" });
    expect((await work(runner)).messageId).toBe(steer);
    expect((await work(runner)).content).toBe("queued before");
    expect(await session.message(running)).toMatchObject({ outcome: "superseded", outcomeReason: "steered" });
    await runner.end(elsewhere.attemptId);
    const prompts = await session.spans("valet.prompt");
    const [aborted, steering] = [running, steer].map((id) =>
      prompts.find((span) => span.attributes["valet.message.id"] === id),
    );
    expect(aborted?.links).toEqual([{ type: "caused_by", traceId: steering?.traceId, spanId: steering?.spanId }]);
    expect(aborted?.status).toBe(0);
  });

  test("continues without the runner if that does not answer the abort", async () => {
    const { session, runner } = await TestSession.running();
    const running = await session.send("running");
    await runner.accept();
    await session.messageIs(running, { status: "accepted" });
    await session.send("now", { queueMode: "steer" });
    await runner.next("abort");
    await session.elapse("abort");
    expect((await work(runner)).content).toBe("now");
    expect(await session.message(running)).toMatchObject({ outcome: "superseded", outcomeReason: "steered" });
  });
});

describe("collect", () => {
  test("dispatches twenty messages in one trace of its own, linked to each; each keeps its own trace and outcome", async () => {
    const { session, runner } = await TestSession.running({ queueMode: "collect" });
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await session.send(`part ${i}`));
    expect((await session.message(ids[0] ?? "")).queueReason).toBe("collect_debounce");
    await session.elapse("collect");
    expect(runner.heard.filter(({ type }) => type === "prompt")).toEqual([]);
    await session.ripen();
    const dispatch = await work(runner);
    expect(dispatch.messageIds).toEqual(ids);
    expect(dispatch.content.split("\n\n")).toEqual(ids.map((_id, i) => `part ${i}`));
    expect(dispatch.queue).toMatchObject({ reason: "collect_debounce", mode: "collect" });
    const span = await session.onlySpan("valet.prompt.dispatch");
    const prompts = await session.spans("valet.prompt");
    expect(span).toMatchObject({ parentSpanId: undefined, attributes: { "valet.collect.message_count": 20 } });
    expect(span.traceId).not.toBe(CALLER_TRACE);
    expect(new Set(span.links.map(({ spanId }) => spanId))).toEqual(new Set(prompts.map(({ spanId }) => spanId)));
    expect(new Set(span.links.map(({ type }) => type))).toEqual(new Set(["collected"]));
    for (const prompt of prompts) {
      expect(outcomeOf(prompt)).toEqual(["ok", undefined]);
      expect(prompt.endNs).toBeGreaterThan(span.endNs);
    }
    const [turn, ...others] = valueIn(await session.stub.turns()).turns;
    expect(others).toEqual([]);
    expect(turn).toMatchObject({ message_ids: ids, trace_id: span.traceId, queue_reasons: ["collect_debounce"] });
    const answers = await Promise.all(ids.map(async (id) => (await session.message(id)).parts.length));
    expect(answers).toEqual([...Array(19).fill(0), 1]);
  });

  test("keeps a single message in its own trace", async () => {
    const { session, runner } = await TestSession.running({ queueMode: "collect" });
    await session.send("alone");
    valueIn(await session.stub.hibernate(CALLER));
    const dispatch = await work(runner);
    expect(dispatch.queue.mode).toBe("collect");
    expect((await session.onlySpan("valet.prompt.dispatch")).traceId).toBe(CALLER_TRACE);
  });

  test("closes the batch at a hibernate: its messages are dispatched, not lost", async () => {
    const { session, runner } = await TestSession.running({ queueMode: "collect" });
    const ids = [await session.send("a"), await session.send("b")];
    valueIn(await session.stub.hibernate(CALLER));
    expect((await work(runner)).messageIds).toEqual(ids);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["skipped", "session_busy"]);
    expect((await session.view()).status).toBe("running");
  });
});

describe("an attempt", () => {
  test("that cannot be sent returns its message to the queue, once", async () => {
    const { session, runner } = await TestSession.running();
    const id = await runInDurableObject(session.stub, async (object, state) => {
      // The object still counts the link as connected: it has not received the close yet.
      for (const socket of state.getWebSockets("runner")) socket.close(1011, "broken");
      return valueIn(await object.sendMessage({ content: "work" }, CALLER)).messageId;
    });
    await session.messageIs(id, { status: "queued", queueReason: "runner_disconnected", attempts: 1 });
    const [failed] = await session.spans("valet.prompt.dispatch");
    expect(failed && outcomeOf(failed)).toEqual(["error", "send_failed"]);
    expect(failed?.attributes["valet.dispatch.sent"]).toBe(false);
    expect(runner.heard.filter(({ type }) => type === "prompt")).toEqual([]);

    const back = await (await session.connect(runner.instanceId)).hello({ ready: true });
    expect(await work(back)).toMatchObject({ attempt: 2, messageId: id });
    expect(await session.message(id)).toMatchObject({ outcome: "ok", attempts: 2 });
    const [, second] = await session.spans("valet.prompt.dispatch");
    expect(second?.links).toEqual([{ type: "follows", traceId: failed?.traceId, spanId: failed?.spanId }]);
    expect(await session.spans("valet.queue.wait")).toHaveLength(2);
  });

  test("that cannot be sent returns the session's first message to the queue, too", async () => {
    const session = new TestSession();
    await session.create({ prompt: "first" });
    const runner = await (await session.connect()).hello();
    await runInDurableObject(session.stub, (object, state) => {
      for (const socket of state.getWebSockets("runner")) {
        socket.close(1011, "broken");
        object.webSocketMessage(socket, JSON.stringify({ type: "stage", stage: "ready" }));
      }
    });
    const { attributes } = await session.onlySpan("valet.prompt.dispatch");
    expect(attributes).toMatchObject({ "valet.dispatch.sent": false, "error.type": "send_failed" });

    const back = await (await session.connect(runner.instanceId)).hello({ ready: true });
    expect(await work(back)).toMatchObject({ attempt: 2, content: "first" });
    expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["ok", undefined]);
  });

  test("that the runner does not accept in time ends; accepted late, it is aborted", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { dispatch: first } = await runner.next("prompt");
    await session.elapse("accept");
    await runner.next("abort");
    const { dispatch: second } = await runner.next("prompt");
    expect(second).toMatchObject({ messageId: id, attempt: 2 });
    expect(second.attemptId).not.toBe(first.attemptId);
    runner.send({ type: "attempt-accepted", attemptId: first.attemptId });
    expect(await runner.next("abort")).toMatchObject({ attemptId: first.attemptId });
    runner.send({ type: "attempt-accepted", attemptId: second.attemptId });
    await runner.end(first.attemptId, { outcome: "aborted" });
    expect((await session.message(id)).status).toBe("accepted");
    await runner.end(second.attemptId);
    expect(await session.message(id)).toMatchObject({ outcome: "ok", attempts: 2 });
    const [lapsed] = await session.spans("valet.prompt.dispatch");
    expect(lapsed && outcomeOf(lapsed)).toEqual(["error", "not_accepted"]);
  });

  test("that is not accepted three times fails its message", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    for (let i = 0; i < 3; i++) {
      const { dispatch } = await runner.next("prompt");
      runner.send({ type: "attempt-refused", attemptId: dispatch.attemptId, errorType: "not_accepted" });
      await session.messageIs(id, i < 2 ? { status: "queued", queueReason: "runner_busy" } : { status: "done" });
      if (i < 2) await session.ripen();
    }
    await session.messageIs(id, { status: "done", outcome: "error", errorType: "not_accepted", attempts: 3 });
    expect(await session.onlySpan("valet.prompt")).toMatchObject({ status: 2, isOpen: false });
    expect(valueIn(await session.stub.turns()).turns).toEqual([]);
  });

  test("that is missing from the runner's hello is repeated at once", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    await runner.next("prompt");
    runner.close();
    const back = await (await session.connect(runner.instanceId)).hello({ ready: true });
    expect(await work(back)).toMatchObject({ messageId: id, attempt: 2 });
  });

  test("that the runner has accepted has no acceptance timeout", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    expect(await session.timers()).not.toContain("accept");
    await runner.end(attemptId);
    expect(await session.message(id)).toMatchObject({ attempts: 1, outcome: "ok" });
  });

  test("that its runner has lost is retried once; a second loss fails the message", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const first = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    const second = await (await session.connect()).hello({ ready: true });
    const retry = await second.accept();
    expect(retry).toMatchObject({ messageId: id, attempt: 2 });
    expect(retry.attemptId).not.toBe(first.attemptId);
    await session.messageIs(id, { status: "accepted" });
    const third = await (await session.connect()).hello({ ready: true });
    await session.messageIs(id, { status: "done", outcome: "error", errorType: "runner_lost", attempts: 2 });
    expect(third.heard.filter(({ type }) => type === "prompt")).toEqual([]);
    const { turns } = valueIn(await session.stub.turns());
    expect(turns.map(({ outcome, error_type, attempt }) => [outcome, error_type, attempt])).toEqual([
      ["lost", "runner_lost", 1],
      ["lost", "runner_lost", 2],
    ]);
    const [, follower] = await session.spans("valet.prompt.dispatch");
    expect(follower?.links.map(({ type }) => type)).toEqual(["follows"]);
    expect(await session.onlySpan("valet.prompt")).toMatchObject({ status: 2 });
  });

  test.each([
    ["error", "runner_lost"],
    ["aborted", "runner_shutdown"],
  ] as const)("that ended with its runner (%s %s) is tried once more", async (outcome, errorType) => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId, { outcome, errorType, parts: [] });
    expect(await work(runner)).toMatchObject({ messageId: id, attempt: 2 });
    expect(await session.message(id)).toMatchObject({ outcome: "ok" });
    const { turns } = valueIn(await session.stub.turns());
    expect(turns.map((turn) => [turn.outcome, turn.error_type])).toEqual([
      ["lost", "runner_lost"],
      ["ok", null],
    ]);
  });

  test("that a limit of the sandbox ended with its runner, twice, fails with that cause, which records and views name", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const cause = "sandbox_out_of_processes" as const;
    for (const _attempt of [1, 2]) {
      const { attemptId } = await runner.accept();
      await runner.end(attemptId, { outcome: "error", errorType: "runner_lost", cause, parts: [] });
    }
    const { failure } = await session.messageIs(id, { status: "done", errorType: "runner_lost", attempts: 2 });
    expect(failure).toMatchObject({ type: "runner_lost", cause });
    expect(failure?.message).toMatch(/The cause is `sandbox_out_of_processes`: .*VALET_SANDBOX_PROCESSES/);
    const { turns } = valueIn(await session.stub.turns());
    expect(turns.map(({ error_type, error_cause }) => [error_type, error_cause])).toEqual(
      Array(2).fill(["runner_lost", cause]),
    );
    expect((await session.onlySpan("valet.prompt")).attributes["valet.error.cause"]).toBe(cause);
  });

  test("stays in flight when the object is evicted", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    await session.evict();
    const { attemptId } = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    await session.evict();
    await runner.end(attemptId);
    expect(await session.message(id)).toMatchObject({ outcome: "ok", attempts: 1 });
    const spans = [...(await session.spans("valet.prompt")), ...(await session.spans("valet.prompt.dispatch"))];
    expect(spans.map(outcomeOf)).toEqual([
      ["ok", undefined],
      ["ok", undefined],
    ]);
    expect((await session.spans()).filter(({ isOpen }) => isOpen)).toEqual([]);
  });

  test.each([
    ["error", "model_chain_exhausted", ["error", "model_chain_exhausted"], 2],
    ["error", "made_up", ["error", "_OTHER"], 2],
    ["aborted", "session_hibernated", ["aborted", "session_hibernated"], 0],
  ] as const)("that ends with %s %s", async (outcome, errorType, expected, status) => {
    const { session, runner } = await TestSession.running();
    await session.send("work");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId, { outcome, errorType, parts: [] });
    const prompt = await session.onlySpan("valet.prompt");
    expect(outcomeOf(prompt)).toEqual(expected);
    expect(prompt.status).toBe(status);
  });

  test("that fails with every model shows the last one's cause in the message, its span and the turn's record", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    const why = { cause: "provider_auth_failed", causeOf: "valet/last" };
    await runner.end(attemptId, { outcome: "error", errorType: "model_chain_exhausted", ...why, parts: [] });
    const { failure } = await session.message(id);
    expect(failure).toMatchObject({ type: "model_chain_exhausted", cause: "provider_auth_failed", of: "valet/last" });
    expect(failure?.message).toBe(
      `Every model of the preference list failed. The last one, valet/last, ended with \`provider_auth_failed\`: ${explain("provider_auth_failed")}`,
    );
    expect((await session.onlySpan("valet.prompt")).attributes["valet.error.cause"]).toBe("provider_auth_failed");
    const { turns } = valueIn(await session.stub.turns());
    expect(turns).toMatchObject([{ error_type: "model_chain_exhausted", error_cause: "provider_auth_failed" }]);
  });

  test("that fails with an unknown cause shows no cause", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId, { outcome: "error", errorType: "model_chain_exhausted", cause: "made_up", parts: [] });
    expect((await session.message(id)).failure).toMatchObject({ cause: "_OTHER" });
  });

  test("that is silent is ended by the watchdog; one with frames is not, with or without an eviction", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.send("work");
    const { attemptId } = await runner.accept();
    await session.messageIs(id, { status: "accepted" });
    /** Minutes pass, in which the link lives. */
    const pass = async (minutes: number) => {
      vi.setSystemTime(Date.now() + minutes * 60_000);
      runner.send({
        type: "permission-asked",
        attemptId: "att_of_nobody",
        permissionId: "per_1",
        permission: "",
        detail: "",
      });
      await session.view();
      await runInDurableObject(session.stub, (object) => object.alarm());
    };
    const write = async (text: string) => {
      runner.send({ type: "part", attemptId, part: { type: "text", id: "p1", text } });
      await vi.waitFor(async () => expect((await session.message(id)).parts).toMatchObject([{ text }]), 20_000);
    };
    const dueMs = () =>
      runInDurableObject(session.stub, (_object, { storage }) => {
        return storage.sql.exec("SELECT due_ms FROM timers WHERE kind = 'stuck'").one().due_ms as number;
      });
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      await pass(15);
      await write("hm");
      await session.evict();
      await pass(15);
      expect((await session.message(id)).status).toBe("accepted");
      await write("hm, so");
      await pass(15);
      // A command of its agent is silent, and may be.
      const before = await dueMs();
      runner.send({ type: "working", attemptId });
      await vi.waitFor(async () => expect(await dueMs()).toBeGreaterThan(before), 20_000);
      await pass(15);
      expect((await session.message(id)).status).toBe("accepted");
      // An alarm that comes later would say that the object has stood still.
      await pass(((await dueMs()) - Date.now()) / 60_000);
    } finally {
      vi.useRealTimers();
    }
    expect(await runner.next("abort")).toMatchObject({ reason: "stuck_turn" });
    expect(await session.message(id)).toMatchObject({
      outcome: "error",
      errorType: "stuck_turn",
      parts: [{ text: "hm, so" }],
    });
  });
});

describe("withdrawing", () => {
  async function busy() {
    const { session, runner } = await TestSession.running();
    const running = await session.send("running");
    const { attemptId } = await runner.accept();
    await session.messageIs(running, { status: "accepted" });
    return { session, runner, running, attemptId };
  }

  test("a queued message can be withdrawn, idempotently; a running one cannot", async () => {
    const { session, runner, running, attemptId } = await busy();
    const id = await session.send("never mind");
    for (let i = 0; i < 2; i++) {
      const withdrawn: MessageView = valueIn(await session.stub.withdraw(id, CALLER));
      expect(withdrawn).toMatchObject({ status: "done", outcome: "aborted", outcomeReason: "withdrawn" });
    }
    expect(await session.stub.withdraw(running, CALLER)).toMatchObject({ ok: false, problem: { status: 409 } });
    expect(await session.stub.withdraw("nothing", CALLER)).toMatchObject({ ok: false, problem: { status: 404 } });
    await runner.end(attemptId);
    expect(runner.heard).not.toContainEqual(expect.objectContaining({ type: "prompt" }));
    const waits = await session.spans("valet.queue.wait");
    expect(waits.map(outcomeOf)).toContainEqual(["aborted", "withdrawn"]);
  });

  test("the queue can be cleared; running turns continue", async () => {
    const { session, runner, running, attemptId } = await busy();
    const ids = [await session.send("a"), await session.send("b", { channel: "main" })];
    expect(valueIn(await session.stub.clearQueue(CALLER))).toEqual({ withdrawn: 2 });
    for (const id of ids) expect(await session.message(id)).toMatchObject({ outcomeReason: "queue_cleared" });
    await runner.end(attemptId);
    expect(await session.message(running)).toMatchObject({ outcome: "ok" });
  });

  test("abort ends the running turns of every channel and keeps the queue", async () => {
    const { session, runner, running, attemptId } = await busy();
    const next = await session.send("next");
    valueIn(await session.stub.abort(CALLER));
    valueIn(await session.stub.abort(CALLER));
    expect(await runner.next("abort")).toEqual({ type: "abort", attemptId, reason: "user_abort" });
    await runner.end(attemptId, { outcome: "aborted", errorType: "user_abort" });
    expect(runner.heard.filter(({ type }) => type === "abort")).toEqual([]);
    expect(await session.message(running)).toMatchObject({ outcome: "aborted", outcomeReason: "user_abort" });
    expect((await work(runner)).messageId).toBe(next);
  });

  test("a turn that ended by itself before the abort keeps its outcome", async () => {
    const { session, runner, running, attemptId } = await busy();
    valueIn(await session.stub.abort(CALLER));
    await runner.end(attemptId);
    expect(await session.message(running)).toMatchObject({ outcome: "ok" });
  });
});

test("a full queue refuses further messages", async () => {
  const { session, runner } = await TestSession.running();
  await session.send("running");
  await runner.accept();
  const refused = await runInDurableObject(session.stub, async (object) => {
    for (let i = 0; i < 500; i++) await object.sendMessage({ content: "x" }, CALLER);
    return object.sendMessage({ content: "one too many" }, CALLER);
  });
  expect(refused).toMatchObject({ ok: false, problem: { status: 429 } });
  expect((await session.view()).queueLength).toBe(500);
});
