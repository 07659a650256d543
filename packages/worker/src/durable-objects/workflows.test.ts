/**
 * Workflows on the real object: what happens to one whatever the runner does, and what its spans say of it. The runner's side is
 * spoken by the test (test/fake-runner.ts), the broker is scripted; real steps are the runner's tests' to run.
 */
import { runInDurableObject } from "cloudflare:test";
import { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { StartWorkflow } from "@valet/shared/protocol/session-api";
import { SpanKind, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { eventually } from "../../test/eventually.ts";
import { NO_WORK } from "../../test/fake-runner.ts";
import { GONE, loseSandbox } from "../../test/sandbox.ts";
import { CALLER, type SeenSpan, TestSession, valueIn } from "../../test/session.ts";
import { cursorOf } from "./core/cursor.ts";

const CALLER_TRACE = "a".repeat(32);
const PROMPT = { name: "mend", prompt: "Mend the test." };
const COMMAND = { name: "test", run: "npm test" };
const OK = { status: "done", outcome: "ok" } as const;

function outcomeOf(span: SeenSpan): [unknown, unknown] {
  const { "valet.outcome": outcome, "error.type": errorType, "valet.outcome.reason": reason } = span.attributes;
  return [outcome, errorType ?? reason];
}

/** A session whose runner works on this workflow. */
async function working(workflow: Partial<StartWorkflow> = {}) {
  const { session, runner } = await TestSession.running();
  const id = await session.startWorkflow({ name: "release", steps: [PROMPT, COMMAND], ...workflow });
  const dispatch = await runner.acceptWorkflow();
  await session.workflowIs(id, { status: "accepted" });
  return { session, runner, id, dispatch, attemptId: dispatch.attemptId };
}

describe("a workflow", () => {
  test("goes from acceptance to its outcome in the caller's trace; its steps are visible as they run", async () => {
    const { session, runner } = await TestSession.running({ model: "a/b", models: ["c/d"] });
    const steps = [PROMPT, COMMAND];
    const accepted = valueIn(await session.stub.startWorkflow({ name: "release", steps }, CALLER));
    expect(accepted).toMatchObject({ status: "queued", traceId: CALLER_TRACE });
    const { executionId: id } = accepted;
    const dispatch = await runner.acceptWorkflow();
    expect(dispatch).toMatchObject({
      executionId: id,
      name: "release",
      steps,
      onFailure: "stop",
      firstStep: 0,
      attempt: 1,
      channel: "main",
      model: "a/b",
      models: ["c/d"],
      queue: { reason: "immediate", mode: "followup" },
    });
    const { attemptId } = dispatch;
    runner.step(attemptId, { index: 0, status: "running" });
    await eventually(async () =>
      expect((await session.workflow(id)).steps.map(({ status }) => status)).toEqual(["running", "waiting"]),
    );
    runner.step(attemptId, { ...OK, index: 0, output: "Mended.", durationMs: 12 });
    runner.step(attemptId, { index: 1, status: "running" });
    await runner.endWorkflow(attemptId, {
      steps: [
        { ...OK, index: 0, output: "cut" },
        { ...OK, index: 1, exitCode: 0, output: "3 passed" },
      ],
    });
    const view = await session.workflow(id);
    expect(view).toMatchObject({ status: "done", outcome: "ok", attempts: 1, traceId: CALLER_TRACE });
    expect(view.steps).toEqual([
      { name: "mend", type: "prompt", status: "done", outcome: "ok", output: "Mended.", duration_ms: 12 },
      { name: "test", type: "command", status: "done", outcome: "ok", output: "3 passed", exitCode: 0 },
    ]);

    const workflow = await session.onlySpan("valet.workflow");
    const wait = await session.onlySpan("valet.queue.wait");
    const dispatched = await session.onlySpan("valet.workflow.dispatch");
    expect(workflow).toMatchObject({ traceId: CALLER_TRACE, parentSpanId: "b".repeat(16), kind: 1, status: 0 });
    expect(workflow.attributes).toMatchObject({
      "valet.workflow.execution.id": id,
      "valet.workflow.name": "release",
      "valet.workflow.step_count": 2,
      "valet.workflow.on_failure": "stop",
      "valet.workflow.failed_step_count": 0,
      "valet.dispatch.attempt": 1,
    });
    for (const inner of [wait, dispatched]) expect(inner.parentSpanId).toBe(workflow.spanId);
    expect(dispatched.kind).toBe(SpanKind.PRODUCER);
    expect([workflow, wait, dispatched].map(outcomeOf)).toEqual(Array(3).fill(["ok", undefined]));
    expect(dispatch.traceparent).toBe(`00-${CALLER_TRACE}-${dispatched.spanId}-03`);
    for (const span of await session.spans()) {
      expect(JSON.stringify(Object.values(span.attributes))).not.toMatch(/Mend the test|npm test|Mended|3 passed/);
    }
    const { turns } = valueIn(await session.stub.turns());
    expect(turns).toMatchObject([{ message_ids: [id], trace_id: CALLER_TRACE, outcome: "ok", tokens_input: 100 }]);
  });

  test("are listed in both orders, and a cursor goes on in its own", async () => {
    const { session } = await working({ id: "first" });
    for (const id of ["second", "third"])
      valueIn(await session.stub.startWorkflow({ name: "x", steps: [PROMPT], id }, CALLER));
    const idsOf = async (order?: "asc" | "desc") =>
      valueIn(await session.stub.workflows(undefined, order)).workflows.map(({ id }) => id);
    expect(await idsOf()).toEqual(["first", "second", "third"]);
    expect(await idsOf("desc")).toEqual(["third", "second", "first"]);
    const descending = cursorOf(`workflows ${session.id}`, "desc", "3");
    expect(valueIn(await session.stub.workflows(descending)).workflows.map(({ id }) => id)).toEqual([
      "second",
      "first",
    ]);
    expect(await session.stub.workflows(descending, "asc")).toMatchObject({ ok: false, problem: { status: 400 } });
  });

  test("is not found as a message, nor a message as a workflow", async () => {
    const { session, runner, id } = await working({ id: "mine" });
    const message = await session.send("hello", { channel: "other" });
    await runner.end((await runner.accept()).attemptId);
    expect(valueIn(await session.stub.messages()).messages.map((each) => each.id)).toEqual([message]);
    expect(valueIn(await session.stub.workflows()).workflows.map((each) => each.id)).toEqual([id]);
    const taken = { ok: false, problem: { status: 409, type: "urn:valet:problem:id-taken" } };
    expect(await session.stub.sendMessage({ content: "x", id }, CALLER)).toMatchObject(taken);
    expect(await session.stub.startWorkflow({ name: "x", steps: [PROMPT], id: message }, CALLER)).toMatchObject(taken);
    expect(await session.stub.withdraw(id, CALLER)).toMatchObject({ ok: false, problem: { status: 404 } });
    expect(await session.stub.withdrawWorkflow(message, CALLER)).toMatchObject({ ok: false, problem: { status: 404 } });
    expect(await session.stub.workflow(message)).toMatchObject({ ok: false, problem: { status: 404 } });
  });

  test("is idempotent: the same id twice is one execution, at any time", async () => {
    const { session, runner } = await TestSession.running();
    const first = valueIn(await session.stub.startWorkflow({ name: "one", steps: [PROMPT], id: "mine" }, CALLER));
    await session.startWorkflow({ name: "one", steps: [PROMPT], id: "mine" });
    const taken = { ok: false, problem: { status: 409, type: "urn:valet:problem:id-taken" } };
    for (const other of [
      { name: "two" },
      { steps: [COMMAND] },
      { onFailure: "continue" as const },
      { channel: "side" },
    ]) {
      const input = { name: "one", steps: [PROMPT], id: "mine", ...other };
      expect(await session.stub.startWorkflow(input, CALLER)).toMatchObject(taken);
    }
    const dispatch = await runner.acceptWorkflow();
    expect(dispatch.name).toBe("one");
    await runner.endWorkflow(dispatch.attemptId);
    const again = valueIn(await session.stub.startWorkflow({ name: "one", steps: [PROMPT], id: "mine" }, CALLER));
    expect(again).toEqual({ executionId: "mine", status: "done", traceId: first.traceId });
    expect(await session.spans("valet.workflow")).toHaveLength(1);
    expect((await session.view()).queueLength).toBe(0);
  });

  test("that is too large for a frame is refused and records no span", async () => {
    const { session } = await TestSession.running();
    const steps = [1, 2, 3].map((n) => ({ name: `step ${n}`, prompt: "x".repeat(190_000) }));
    const result = await session.stub.startWorkflow({ name: "large", steps }, CALLER);
    expect(result).toMatchObject({ ok: false, problem: { status: 413 } });
    expect(await session.spans("valet.workflow")).toEqual([]);
  });

  test("waits in its channel, and later jobs wait for it; it continues the agent's session", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("before");
    const before = await runner.accept();
    const id = await session.startWorkflow({ name: "w", steps: [PROMPT] });
    await session.send("after");
    expect(await session.workflow(id)).toMatchObject({ status: "queued", queueReason: "runner_busy" });
    expect((await session.view()).queueLength).toBe(2);
    await runner.end(before.attemptId);
    const dispatch = await runner.acceptWorkflow();
    expect(dispatch).toMatchObject({ opencodeSessionId: "oc_1", queue: { reason: "runner_busy" } });
    expect(runner.heard.filter(({ type }) => type === "prompt")).toEqual([]);
    await runner.endWorkflow(dispatch.attemptId, { opencodeSessionId: "oc_2" });
    expect(await runner.accept()).toMatchObject({ content: "after", opencodeSessionId: "oc_2" });
    const waits = await session.spans("valet.queue.wait");
    const own = waits.find(({ attributes }) => attributes["valet.workflow.execution.id"] === id);
    const [dispatched] = await session.spans("valet.prompt.dispatch");
    expect(own?.links).toEqual([{ type: "waited_on", traceId: dispatched?.traceId, spanId: dispatched?.spanId }]);
  });

  test("wakes a hibernated session", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    runner.close();
    await session.reaches("hibernated");
    const id = await session.startWorkflow({ name: "w", steps: [COMMAND] });
    await session.workflowIs(id, { status: "queued", queueReason: "sandbox_restoring" });
    const woken = await (await session.connect()).ready();
    const { attemptId, queue } = await woken.acceptWorkflow();
    expect(queue.reason).toBe("sandbox_restoring");
    await woken.endWorkflow(attemptId, { steps: [{ ...OK, index: 0 }] });
    expect(await session.workflow(id)).toMatchObject({ outcome: "ok" });
    const restore = await session.onlySpan("valet.sandbox.restore");
    const workflow = await session.onlySpan("valet.workflow");
    expect(restore.attributes).toMatchObject({ "valet.workflow.execution.id": id });
    expect(restore.attributes).not.toHaveProperty("valet.message.id");
    expect(restore.links).toContainEqual({ type: "caused_by", traceId: workflow.traceId, spanId: workflow.spanId });
  });

  test("is part of a new agent's digest of the channel, with prompts and answers", async () => {
    const second = { name: "say", prompt: "Say more." };
    const { session, runner, attemptId } = await working({ steps: [PROMPT, COMMAND, second] });
    const skipped = { index: 2, status: "done", outcome: "skipped", errorType: "previous_step_failed" } as const;
    const failed = { index: 1, status: "done", outcome: "error", errorType: "command_failed" } as const;
    await runner.endWorkflow(attemptId, {
      outcome: "error",
      errorType: "workflow_step_failed",
      steps: [{ ...OK, index: 0, output: "Mended." }, failed, skipped],
    });
    await session.send("next");
    const { continuationContext } = await runner.accept();
    expect(continuationContext).toBe("User: Mend the test.\nAssistant: Mended.\n");
  });

  test("shows the runner's spans while they are open", async () => {
    const { session, runner } = await TestSession.running();
    await session.startWorkflow({ name: "w", steps: [COMMAND] });
    const { dispatch } = await runner.next("workflow-execute");
    const tracer = new Tracer({ scope: { name: "test" }, processor: { onStart: () => {}, onEnd: () => {} } });
    const [, traceId = "", spanId = ""] = (dispatch.traceparent ?? "").split("-");
    const open = (name: string, parentId: string) => {
      const parent = { traceId, spanId: parentId, traceFlags: 3, traceState: "", isRemote: true };
      const attributes = { "valet.session.id": session.id };
      const span = tracer.startSpan(name, { parent, attributes });
      return { text: serialiseSpan(span as never), spanId: span.context.spanId };
    };
    const execute = open("valet.workflow.execute", spanId);
    const step = open("valet.workflow.step test", execute.spanId);
    const { attemptId } = dispatch;
    runner.send({ type: "attempt-accepted", attemptId, span: execute.text });
    runner.send({ type: "workflow-step", attemptId, state: { index: 0, status: "running" }, span: step.text });
    // One that has nothing to do with steps is not shown.
    const stranger = open("valet.prompt", execute.spanId);
    runner.send({ type: "workflow-step", attemptId, state: { index: 0, status: "running" }, span: stranger.text });
    await eventually(async () => {
      const names = (await session.spans()).filter(({ isOpen }) => isOpen).map(({ name }) => name);
      expect(names.sort()).toEqual(["valet.workflow", "valet.workflow.execute", "valet.workflow.step test"]);
    });
    expect(await session.spans("valet.prompt")).toEqual([]);
    await runner.endWorkflow(attemptId);
  });

  test("is sent to clients step by step", async () => {
    const { session, runner } = await TestSession.running();
    const headers = { upgrade: "websocket" };
    const { webSocket } = await session.stub.fetch(new Request("https://session/client", { headers }));
    const events: ClientEvent[] = [];
    webSocket?.addEventListener("message", ({ data }) => events.push(ClientEvent.parse(JSON.parse(data as string))));
    webSocket?.accept();
    const id = await session.startWorkflow({ name: "w", steps: [COMMAND] });
    const { attemptId } = await runner.acceptWorkflow();
    runner.step(attemptId, { index: 0, status: "running" });
    runner.step(attemptId, { index: 0, status: "running" });
    runner.step(attemptId, { ...OK, index: 0, exitCode: 0, output: "fine" });
    await runner.endWorkflow(attemptId);
    await eventually(() => {
      const states = events.flatMap((event) => (event.type === "workflow" ? [event.workflow.status] : []));
      expect(states).toEqual(["queued", "dispatched", "accepted", "done"].slice(-states.length));
      expect(states.at(-1)).toBe("done");
    });
    const steps = events.flatMap((event) => (event.type === "workflow-step" ? [event] : []));
    expect(steps.map(({ executionId, index, step }) => [executionId, index, step.status, step.output])).toEqual([
      [id, 0, "running", undefined],
      [id, 0, "done", "fine"],
    ]);
    expect(events.filter(({ type }) => type === "message")).toEqual([]);
    webSocket?.close();
  });
});

describe("a step that fails", () => {
  const failed = { index: 0, status: "done", outcome: "error", errorType: "command_failed", exitCode: 2 } as const;

  test("and has a cause of its own: that is the cause of the workflow, its span and the session's failure", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [PROMPT, COMMAND] });
    const own = { errorType: "model_chain_exhausted", cause: "provider_auth_failed", causeOf: "openai/gpt-5" } as const;
    const step = { index: 0, status: "done", outcome: "error", ...own } as const;
    const skipped = { index: 1, status: "done", outcome: "skipped", errorType: "previous_step_failed" } as const;
    const ending = { outcome: "error", errorType: "workflow_step_failed" } as const;
    await runner.endWorkflow(attemptId, { ...ending, steps: [step, skipped] });
    const view = await session.workflow(id);
    expect(view.failure).toMatchObject({ cause: "provider_auth_failed", of: PROMPT.name });
    expect(view.failure?.message).toContain("ended with `provider_auth_failed`: ");
    expect(view.steps[0]).toMatchObject({
      errorType: "model_chain_exhausted",
      failure: { cause: "provider_auth_failed" },
    });
    const { attributes } = await session.onlySpan("valet.workflow");
    expect(attributes["valet.error.cause"]).toBe("provider_auth_failed");
    const { verdict } = valueIn(await session.stub.now());
    expect(verdict.why).toContain("failed with `workflow_step_failed`, because of `provider_auth_failed`.");
  });

  test("fails the workflow; those after it are skipped", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND, PROMPT] });
    runner.step(attemptId, failed);
    const skipped = { index: 1, status: "done", outcome: "skipped", errorType: "previous_step_failed" } as const;
    await runner.endWorkflow(attemptId, {
      outcome: "error",
      errorType: "workflow_step_failed",
      steps: [failed, skipped],
    });
    const view = await session.workflow(id);
    expect(view).toMatchObject({ status: "done", outcome: "error", errorType: "workflow_step_failed" });
    expect(view.failure?.message).toContain(`The first that failed, ${view.failure?.of}, ended with`);
    expect(view.steps).toMatchObject([
      { outcome: "error", errorType: "command_failed", exitCode: 2 },
      { outcome: "skipped", outcomeReason: "previous_step_failed" },
    ]);
    const span = await session.onlySpan("valet.workflow");
    expect(outcomeOf(span)).toEqual(["error", "workflow_step_failed"]);
    expect(span.attributes["valet.workflow.failed_step_count"]).toBe(1);
    expect(span.status).toBe(2);
  });

  test("fails the workflow even if the other steps continue, whatever outcome the runner reports", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND, PROMPT], onFailure: "continue" });
    await runner.endWorkflow(attemptId, { outcome: "ok", steps: [failed, { ...OK, index: 1 }] });
    expect(await session.workflow(id)).toMatchObject({ outcome: "error", errorType: "workflow_step_failed" });
  });
});

test("a workflow that the runner reports as successful without all its results has failed", async () => {
  const { session, runner, id, attemptId } = await working();
  await runner.endWorkflow(attemptId, { steps: [{ ...OK, index: 0 }] });
  expect(await session.workflow(id)).toMatchObject({ outcome: "error", errorType: "_OTHER" });
});

describe("a runner's report on a workflow", () => {
  test("is idempotent: the first end of a step counts, and unknown steps are ignored", async () => {
    const { session, runner, id, attemptId } = await working();
    const step = { ...OK, index: 0, output: "first" };
    runner.step(attemptId, step);
    runner.step(attemptId, step);
    runner.step(attemptId, { index: 0, status: "running" });
    runner.step(attemptId, { ...step, outcome: "error", output: "second" });
    runner.step(attemptId, { ...OK, index: 2 });
    for (const _ of [1, 2]) await runner.endWorkflow(attemptId, { steps: [{ ...OK, index: 1 }] });
    // Late news of what is over.
    runner.step(attemptId, { ...OK, index: 1, output: "late" });
    expect(await session.workflowIs(id, { status: "done", outcome: "ok" })).toMatchObject({
      steps: [{ output: "first", outcome: "ok" }, { outcome: "ok" }],
    });
    expect(valueIn(await session.stub.turns()).turns).toHaveLength(1);
    expect(await session.spans("valet.workflow")).toHaveLength(1);
  });

  test.each([
    ["error", "opencode_died", ["error", "opencode_died"]],
    ["error", "made_up", ["error", "_OTHER"]],
    ["error", "_OTHER", ["error", "_OTHER"]],
  ] as const)("%s %s", async (outcome, errorType, expected) => {
    const { session, runner, attemptId } = await working();
    await runner.endWorkflow(attemptId, { outcome, errorType });
    expect(outcomeOf(await session.onlySpan("valet.workflow"))).toEqual(expected);
  });

  test("that it is invalid ends it at once, and the queue continues", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.startWorkflow({ name: "w", steps: [PROMPT] });
    await session.send("next");
    const { dispatch } = await runner.next("workflow-execute");
    runner.send({ type: "attempt-refused", attemptId: dispatch.attemptId, errorType: "workflow_invalid" });
    await session.workflowIs(id, { status: "done", outcome: "error", errorType: "workflow_invalid", attempts: 1 });
    expect(outcomeOf(await session.onlySpan("valet.workflow.dispatch"))).toEqual(["error", "workflow_invalid"]);
    expect((await runner.accept()).content).toBe("next");
  });

  test("that never comes, from a runner older than workflows, fails it, and the queue continues", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.startWorkflow({ name: "w", steps: [PROMPT] });
    await session.send("next");
    for (let i = 0; i < 3; i++) {
      await runner.next("workflow-execute");
      await session.elapse("accept");
    }
    await session.workflowIs(id, { status: "done", outcome: "error", errorType: "not_accepted", attempts: 3 });
    expect((await runner.accept()).content).toBe("next");
    const dispatches = await session.spans("valet.workflow.dispatch");
    expect(dispatches.map(outcomeOf)).toEqual(Array(3).fill(["error", "not_accepted"]));
    expect(dispatches.map(({ links }) => links.map(({ type }) => type))).toEqual([[], ["follows"], ["follows"]]);
  });
});

test("a command that was not accepted in time is not sent again: it may have begun", async () => {
  const { session, runner } = await TestSession.running();
  const id = await session.startWorkflow({ name: "w", steps: [COMMAND] });
  const { dispatch } = await runner.next("workflow-execute");
  await session.elapse("accept");
  expect(await runner.next("abort")).toMatchObject({ attemptId: dispatch.attemptId });
  await session.workflowIs(id, { status: "done", outcome: "error", errorType: "not_accepted", attempts: 1 });
});

test("a command that was refused, or could not be sent, is sent again", async () => {
  const { session, runner } = await TestSession.running();
  const id = await session.startWorkflow({ name: "w", steps: [COMMAND] });
  const { dispatch } = await runner.next("workflow-execute");
  runner.send({ type: "attempt-refused", attemptId: dispatch.attemptId, errorType: "not_accepted" });
  await session.workflowIs(id, { status: "queued", attempts: 1 });
  await session.ripen();
  await runner.next("workflow-execute");
  runner.close();
  const back = await (await session.connect(runner.instanceId)).hello({ ready: true });
  expect(await back.acceptWorkflow()).toMatchObject({ executionId: id, attempt: 3 });
});

describe("a workflow whose runner is lost", () => {
  const lostStep = { index: 1, status: "done", outcome: "lost", errorType: "runner_lost" } as const;

  test("continues in the same sandbox with its first step without a result, if that is a prompt", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND, PROMPT, COMMAND] });
    runner.step(attemptId, { ...OK, index: 0, output: "built" });
    // A restarted runner reports this about the one before it.
    await runner.endWorkflow(attemptId, { outcome: "error", errorType: "runner_lost", steps: [lostStep] });
    const again = await runner.acceptWorkflow();
    expect(again).toMatchObject({ executionId: id, attempt: 2, firstStep: 1 });
    expect((await session.workflow(id)).steps.map(({ status }) => status)).toEqual(["done", "waiting", "waiting"]);
    const done = [
      { ...OK, index: 1 },
      { ...OK, index: 2 },
    ];
    await runner.endWorkflow(again.attemptId, { steps: done });
    expect(await session.workflow(id)).toMatchObject({
      outcome: "ok",
      attempts: 2,
      steps: [{ output: "built" }, { outcome: "ok" }, { outcome: "ok" }],
    });
    const [first, second] = await session.spans("valet.workflow.dispatch");
    expect(second?.links).toEqual([{ type: "follows", traceId: first?.traceId, spanId: first?.spanId }]);
    const { turns } = valueIn(await session.stub.turns());
    expect(turns.map(({ outcome, attempt }) => [outcome, attempt])).toEqual([
      ["lost", 1],
      ["ok", 2],
    ]);
  });

  test("twice fails, like a message", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [PROMPT] });
    const lost = { outcome: "error" as const, errorType: "runner_lost", cause: "sandbox_out_of_memory" };
    await runner.endWorkflow(attemptId, lost);
    await runner.endWorkflow((await runner.acceptWorkflow()).attemptId, lost);
    const view = await session.workflow(id);
    expect(view).toMatchObject({ outcome: "error", errorType: "runner_lost", attempts: 2 });
    expect(view.failure).toMatchObject({ type: "runner_lost", cause: "sandbox_out_of_memory" });
  });

  test("while it came to a command unheard repeats its prompt, and the command of the lost attempt never begins", async () => {
    const { session, runner, id, attemptId } = await working();
    runner.step(attemptId, { index: 0, status: "running" });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("running"));
    // The runner's process has ended, and its sandbox has another.
    const next = await (await session.connect()).hello({ ready: true });
    const again = await next.acceptWorkflow();
    expect(again).toMatchObject({ executionId: id, attempt: 2, firstStep: 0 });
    const begin = { index: 1, status: "running" } as const;
    for (const each of [attemptId, again.attemptId]) {
      next.send({ type: "workflow-step", attemptId: each, state: begin, waits: true });
    }
    expect(await next.next("workflow-step-ack")).toEqual({
      type: "workflow-step-ack",
      attemptId: again.attemptId,
      index: 1,
    });
    expect(await next.next("abort")).toMatchObject({ attemptId });
    expect((await session.workflow(id)).steps[1]?.status).toBe("running");
  });

  test("once its command may run is not retried, though nothing but that was heard of it", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [PROMPT, COMMAND, PROMPT] });
    runner.step(attemptId, { ...OK, index: 0 });
    runner.send({ type: "workflow-step", attemptId, state: { index: 1, status: "running" }, waits: true });
    expect(await runner.next("workflow-step-ack")).toMatchObject({ attemptId, index: 1 });
    await loseSandbox(session, runner);
    await session.workflowIs(id, { status: "done", outcome: "error", errorType: "runner_lost", attempts: 1 });
  });

  test.each([
    ["a command", [COMMAND, PROMPT], { status: "done", outcome: "error", errorType: "runner_lost", attempts: 1 }],
    ["a prompt", [PROMPT, PROMPT], { status: "dispatched", attempts: 2 }],
  ] as const)("because it was stopped does not go on after %s that it cut short", async (_what, steps, expected) => {
    const { session, runner, id, attemptId } = await working({ steps: [...steps] });
    const cut = { outcome: "aborted", errorType: "runner_shutdown" } as const;
    await runner.endWorkflow(attemptId, { ...cut, steps: [{ ...cut, index: 0, status: "done" }] });
    await session.workflowIs(id, expected);
    if (expected.status === "dispatched") expect((await runner.acceptWorkflow()).firstStep).toBe(0);
  });

  test("while a command was running is not retried: the command would run twice", async () => {
    const { session, runner, id, attemptId } = await working();
    runner.step(attemptId, { ...OK, index: 0 });
    runner.step(attemptId, { index: 1, status: "running" });
    await eventually(async () => expect((await session.workflow(id)).steps[1]?.status).toBe("running"));
    const next = await (await session.connect()).hello({ ready: true });
    const view = await session.workflowIs(id, { status: "done", outcome: "error", errorType: "runner_lost" });
    expect(view.attempts).toBe(1);
    expect(view.steps.map(({ outcome, errorType }) => [outcome, errorType])).toEqual([
      ["ok", undefined],
      ["lost", "runner_lost"],
    ]);
    expect(next.heard.filter(({ type }) => type === "workflow-execute")).toEqual([]);
    expect(outcomeOf(await session.onlySpan("valet.workflow"))).toEqual(["error", "runner_lost"]);
  });

  test("with its sandbox is not retried once a step is done: its files are gone", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND, PROMPT] });
    runner.step(attemptId, { ...OK, index: 0 });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("done"));
    await loseSandbox(session, runner);
    await session.workflowIs(id, { status: "done", outcome: "error", errorType: "runner_lost", attempts: 1 });
  });

  test("with its sandbox starts again if no step was done", async () => {
    const { session, runner, id, attemptId } = await working();
    runner.step(attemptId, { index: 0, status: "running" });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("running"));
    await loseSandbox(session, runner);
    const [step] = (await session.workflowIs(id, { status: "queued" })).steps;
    expect(step).toMatchObject({ status: "done", outcome: "lost", errorType: "runner_lost" });
    const next = await (await session.connect()).ready();
    expect(await next.acceptWorkflow()).toMatchObject({ executionId: id, attempt: 2, firstStep: 0 });
    expect((await session.workflow(id)).steps[0]).toMatchObject({ status: "waiting" });
  });

  test("keeps the step that was running as lost, whatever ends it before it continues", async () => {
    const { session, runner, id, attemptId } = await working();
    runner.step(attemptId, { index: 0, status: "running" });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("running"));
    await loseSandbox(session, runner);
    await session.workflowIs(id, { status: "queued" });
    valueIn(await session.stub.withdrawWorkflow(id, CALLER));
    const view = await session.workflow(id);
    expect(view).toMatchObject({ outcome: "aborted", outcomeReason: "withdrawn" });
    expect(view.steps[0]).toMatchObject({ outcome: "lost", errorType: "runner_lost" });
  });

  test("ends if its sandbox is lost, too, while it waits to continue", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND, PROMPT] });
    runner.step(attemptId, { ...OK, index: 0 });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("done"));
    await session.broker.script({ get: [{ ...GONE, hold: true }] });
    await runInDurableObject(session.stub, async (object, state) => {
      const [socket] = state.getWebSockets("runner");
      const lost = { type: "workflow-ended", attemptId, outcome: "error", errorType: "runner_lost", steps: [] };
      // Nobody is there any more to be sent the next attempt.
      socket?.close(1011, "broken");
      object.webSocketMessage(socket as WebSocket, JSON.stringify({ ...lost, summary: NO_WORK }));
    });
    await session.workflowIs(id, { status: "queued", queueReason: "runner_disconnected" });
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.broker.letGo();
    await session.workflowIs(id, { status: "done", outcome: "error", errorType: "runner_lost" });
  });

  test("continues with its files if those are kept, even if the first start from their snapshot fails", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND, PROMPT] });
    runner.step(attemptId, { ...OK, index: 0 });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("done"));
    await session.broker.script({ restore: [{ problem: { status: 500, code: "start_failed" } }] });
    runner.close();
    await eventually(async () => expect((await session.view()).agent).toBe("disconnected"));
    await session.elapse("grace");
    await session.reaches("recovering");
    expect(await session.workflow(id)).toMatchObject({ status: "queued" });
    await session.elapse("recover");
    const next = await (await session.connect()).ready();
    expect(await next.acceptWorkflow()).toMatchObject({ executionId: id, attempt: 2, firstStep: 1 });
  });

  test("after its last step ends with the outcome of its steps", async () => {
    const { session, runner, id, attemptId } = await working({ steps: [COMMAND] });
    runner.step(attemptId, { ...OK, index: 0 });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("done"));
    await (await session.connect()).hello({ ready: true });
    await session.workflowIs(id, { status: "done", outcome: "ok", attempts: 1 });
    expect(outcomeOf(await session.onlySpan("valet.workflow"))).toEqual(["ok", undefined]);
  });
});

describe("ending a workflow", () => {
  test("a queued one can be withdrawn, idempotently; a running one cannot", async () => {
    const { session, id: running } = await working();
    const id = await session.startWorkflow({ name: "w", steps: [PROMPT, COMMAND] });
    for (let i = 0; i < 2; i++) {
      const view = valueIn(await session.stub.withdrawWorkflow(id, CALLER));
      expect(view).toMatchObject({ status: "done", outcome: "aborted", outcomeReason: "withdrawn", attempts: 0 });
      expect(view.steps.map(({ outcome }) => outcome)).toEqual(["skipped", "skipped"]);
    }
    expect(await session.stub.withdrawWorkflow(running, CALLER)).toMatchObject({ ok: false, problem: { status: 409 } });
  });

  test("clearing the queue ends queued workflows, too", async () => {
    const { session } = await working();
    const id = await session.startWorkflow({ name: "w", steps: [PROMPT] });
    await session.send("hello");
    expect(valueIn(await session.stub.clearQueue(CALLER))).toEqual({ withdrawn: 2 });
    expect(await session.workflow(id)).toMatchObject({ outcome: "aborted", outcomeReason: "queue_cleared" });
  });

  test("abort ends the running one and keeps queued ones", async () => {
    const { session, runner, id, attemptId } = await working();
    const next = await session.startWorkflow({ name: "next", steps: [PROMPT] });
    runner.step(attemptId, { index: 0, status: "running" });
    valueIn(await session.stub.abort(CALLER));
    expect(await runner.next("abort")).toEqual({ type: "abort", attemptId, reason: "user_abort" });
    const aborted = { index: 0, status: "done", outcome: "aborted", errorType: "user_abort" } as const;
    await runner.endWorkflow(attemptId, { outcome: "aborted", errorType: "user_abort", steps: [aborted] });
    const view = await session.workflow(id);
    expect(view).toMatchObject({ outcome: "aborted", outcomeReason: "user_abort" });
    expect(view.steps.map(({ outcome }) => outcome)).toEqual(["aborted", "skipped"]);
    expect((await runner.acceptWorkflow()).executionId).toBe(next);
    const [span] = await session.spans("valet.workflow");
    expect(span?.links.map(({ type }) => type)).toEqual(["caused_by"]);
  });

  test("abort continues without the runner if that does not answer", async () => {
    const { session, runner, id, attemptId } = await working();
    runner.step(attemptId, { index: 0, status: "running" });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("running"));
    valueIn(await session.stub.abort(CALLER));
    await session.elapse("abort");
    expect((await session.workflow(id)).steps.map(({ outcome }) => outcome)).toEqual(["aborted", "skipped"]);
  });

  test("a steering message replaces the running one", async () => {
    const { session, runner, id, attemptId } = await working();
    await session.send("now", { queueMode: "steer" });
    expect(await runner.next("abort")).toMatchObject({ attemptId, reason: "steered" });
    await runner.endWorkflow(attemptId, { outcome: "aborted", errorType: "steered" });
    expect(await session.workflow(id)).toMatchObject({ outcome: "superseded", outcomeReason: "steered" });
    expect((await runner.accept()).content).toBe("now");
  });

  test("terminate ends the running one and queued ones, and refuses others", async () => {
    const { session, runner, id, attemptId } = await working();
    const queued = await session.startWorkflow({ name: "w", steps: [PROMPT] });
    valueIn(await session.stub.terminate(CALLER));
    expect(await session.workflow(queued)).toMatchObject({ outcome: "aborted", outcomeReason: "session_terminated" });
    await runner.next("shutdown");
    await runner.endWorkflow(attemptId, { outcome: "aborted", errorType: "session_terminated" });
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    expect(await session.workflow(id)).toMatchObject({ outcome: "aborted", outcomeReason: "session_terminated" });
    const refused = await session.stub.startWorkflow({ name: "w", steps: [PROMPT] }, CALLER);
    expect(refused).toMatchObject({ ok: false, problem: { type: "urn:valet:problem:session-ended" } });
  });
});

describe("the object's death", () => {
  test("between any two steps of a workflow changes nothing", async () => {
    const { session, runner } = await TestSession.running();
    const id = await session.startWorkflow({ name: "w", steps: [PROMPT, COMMAND] });
    await session.evict();
    const { attemptId } = await runner.acceptWorkflow();
    await session.workflowIs(id, { status: "accepted" });
    await session.evict();
    runner.step(attemptId, { ...OK, index: 0, output: "kept" });
    await eventually(async () => expect((await session.workflow(id)).steps[0]?.status).toBe("done"));
    await session.evict();
    await runner.endWorkflow(attemptId, { steps: [{ ...OK, index: 1 }] });
    await session.evict();
    expect(await session.workflow(id)).toMatchObject({
      outcome: "ok",
      attempts: 1,
      steps: [{ output: "kept" }, { outcome: "ok" }],
    });
    for (const name of ["valet.workflow", "valet.workflow.dispatch", "valet.queue.wait"]) {
      expect(outcomeOf(await session.onlySpan(name))).toEqual(["ok", undefined]);
    }
    expect((await session.spans()).filter(({ isOpen }) => isOpen)).toEqual([]);
  });

  test("by a crash loses only the link: the runner reconnects and continues", async () => {
    const { session, runner, id, attemptId } = await working();
    await session.crash();
    const back = await session.connect(runner.instanceId);
    await back.hello({ ready: true, attempts: [attemptId] });
    await back.endWorkflow(attemptId, {
      steps: [
        { ...OK, index: 0 },
        { ...OK, index: 1 },
      ],
    });
    expect(await session.workflow(id)).toMatchObject({ outcome: "ok", attempts: 1 });
    const { events } = await session.onlySpan("valet.workflow");
    expect(events.map(({ name }) => name)).toContain("valet.runner.reconnected");
  });
});
