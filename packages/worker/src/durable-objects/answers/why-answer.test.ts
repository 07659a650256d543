import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { WhyView } from "@valet/shared/protocol/why";
import { expect, test } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { NO_WORK } from "../../../test/fake-runner.ts";
import { RunnerSpans } from "../../../test/runner-spans.ts";
import { TestSession, valueIn } from "../../../test/session.ts";

async function whyOf(session: TestSession, id: string, kind: "message" | "workflow" = "message"): Promise<WhyView> {
  const view = valueIn(await session.stub.why(kind, id));
  expect(WhyView.parse(view)).toEqual(view);
  expect(view.time.parts.reduce((sum, { ms }) => sum + ms, 0)).toBe(view.time.wall_ms);
  return view;
}

/** Waits until a message has waited for some milliseconds, and returns since when it is accepted, epoch ms. */
async function aged(session: TestSession, id: string, ms: number): Promise<number> {
  const accepted = Date.parse((await session.message(id)).acceptedAt);
  await eventually(() => expect(Date.now() - accepted).toBeGreaterThan(ms));
  return accepted;
}

test("a message's own work, and what it waited for in its channel, with the parts of that", async () => {
  const { session, runner } = await TestSession.running();
  const spans = new RunnerSpans(session);
  const first = await session.send("first");
  const dispatch = await runner.accept();
  const second = await session.send("second");
  await aged(session, second, 300);
  const [from, to] = [Date.now() - 300, Date.now()];
  const turn = spans.turn(dispatch, from - 20, to);
  const agent = spans.add("invoke_agent build", turn, from, to);
  const tool = spans.add("execute_tool bash", agent, from, to);
  await spans.sendTo(runner);
  const running = await whyOf(session, first);
  expect(running).toMatchObject({ state: "running", outcome: null, kind: "message" });
  expect(running.sentence).toMatch(/so far: .*`bash` took/);
  await runner.end(dispatch.attemptId);
  await session.messageIs(first, { status: "done" });
  const ended = await whyOf(session, first);
  expect(ended).toMatchObject({ state: "ended", outcome: "ok", failure: null });
  // On a busy machine another part may be longer than the tool's.
  expect(ended.time.parts.find(({ name }) => name === "tool")).toMatchObject({
    detail: "bash",
    spans: [{ sessionId: session.id, traceId: tool.traceId, spanId: tool.spanId }],
  });
  const [waited] = (await whyOf(session, second)).time.parts;
  expect(waited).toMatchObject({ name: "queue.channel", detail: first });
  expect(waited?.parts).toContainEqual(expect.objectContaining({ name: "tool", detail: "bash" }));
});

test("a wait for the sandbox, with the parts of its start; a lost attempt; a workflow; what there is not", async () => {
  const session = new TestSession();
  await session.create();
  const id = await session.send("first");
  await aged(session, id, 50);
  const queued = await whyOf(session, id);
  expect(queued.state).toBe("queued");
  expect(queued.time.parts).toMatchObject([{ name: "queue.sandbox", detail: "start", cause: "session_created" }]);
  const runner = await (await session.connect()).ready();
  await session.reaches("running");
  const { attemptId } = await runner.accept();
  await runner.end(attemptId, { outcome: "error", errorType: "model_unknown" });
  await session.messageIs(id, { status: "done" });
  const failed = await whyOf(session, id);
  expect(failed.failure).toMatchObject({ type: "model_unknown", outcome: "error" });
  expect(failed.sentence).toContain("until it failed with `model_unknown`");
  const run = await session.startWorkflow({ name: "check", steps: [{ name: "build", run: "make" }] });
  await runner.acceptWorkflow();
  expect(await whyOf(session, run, "workflow")).toMatchObject({ kind: "workflow", state: "running" });
  for (const [kind, unknown] of [
    ["message", "msg_0"],
    ["message", run],
    ["workflow", id],
  ] as const) {
    const answer = await session.stub.why(kind, unknown);
    expect(answer).toMatchObject({ ok: false, problem: { status: 404 } });
  }
});

test("the cost without spans of the model calls: what the runner has told, a lower bound once the runner was lost", async () => {
  const { session, runner } = await TestSession.running();
  const id = await session.send("work");
  const { attemptId } = await runner.accept();
  const costs = async () => {
    const [{ money }, now] = [await whyOf(session, id), valueIn(await session.stub.now())];
    const whole = { why: money.known, now: !now.isCostPartial };
    return { ...whole, costs: [money.cost_usd, now.cost_usd], calls: money.by.map(({ calls }) => calls) };
  };
  const summary = { ...NO_WORK, modelCalls: 3, costUsd: 0.02 };
  const progress = [{ attemptId, summary }];
  runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp: '{"resourceSpans":[]}', progress });
  await runner.next("spans-ack");
  expect(await costs()).toEqual({ why: true, now: true, costs: [0.02, 0.02], calls: [3] });
  runner.close();
  const lacking = { why: false, now: false, costs: [0.02, 0.02], calls: [3] };
  await eventually(async () => expect(await costs()).toEqual(lacking));
  const next = await (await session.connect()).hello({ ready: true });
  const retry = await next.accept();
  expect(await costs()).toEqual(lacking);
  await next.end(retry.attemptId);
  await session.messageIs(id, { status: "done" });
  expect(await costs()).toEqual({ why: false, now: false, costs: [0.03, 0.03], calls: [4] });
  const turns = valueIn(await session.stub.turns()).turns as readonly TurnRecord[];
  expect(turns.map(({ cost_usd, calls_without_cost }) => [cost_usd, calls_without_cost])).toEqual([
    [0.02, 1],
    [0.01, 0],
  ]);
});

test("an attempt that the runner refused cost nothing", async () => {
  const { session, runner } = await TestSession.running();
  const run = await session.startWorkflow({ name: "check", steps: [{ name: "build", run: "make" }] });
  const { dispatch } = await runner.next("workflow-execute");
  runner.send({ type: "attempt-refused", attemptId: dispatch.attemptId, errorType: "workflow_invalid" });
  await session.workflowIs(run, { status: "done" });
  const { money } = await whyOf(session, run, "workflow");
  expect(money).toMatchObject({ cost_usd: 0, known: true, sentence: "No model was called." });
  expect(valueIn(await session.stub.now())).toMatchObject({ cost_usd: 0, isCostPartial: false });
});

test("a message that was sent between failed starts fails because of the first of them", async () => {
  const session = new TestSession();
  const reset = { reset: true } as const;
  await session.broker.script({ create: [reset, reset, reset, reset] });
  await session.create();
  for (let nth = 0; nth < 3; nth++) {
    await session.reaches("recovering");
    if (nth < 2) await session.elapse("recover");
  }
  const id = await session.send("go");
  await session.elapse("recover");
  await session.reaches("error");
  const first = (await session.spans("valet.sandbox.spawn"))[0];
  const { failure } = await whyOf(session, id);
  expect(failure).toMatchObject({ type: "broker_unreachable", cause: { type: "broker_unreachable" } });
  expect(failure?.evidence.map(({ traceId }) => traceId)).toContain(first?.traceId);
});

test("the spans of a batch are in a trace of its own", async () => {
  const { session, runner } = await TestSession.running();
  const ids = [await session.send("a", { queueMode: "collect" }), await session.send("b", { queueMode: "collect" })];
  await aged(session, ids[1] as string, 60);
  await session.ripen();
  const dispatch = await runner.accept();
  const spans = new RunnerSpans(session);
  const now = Date.now();
  const turn = spans.turn(dispatch, now, now + 5);
  spans.add("execute_tool bash", turn, now, now + 5);
  await spans.sendTo(runner);
  await runner.end(dispatch.attemptId);
  for (const id of ids) {
    await session.messageIs(id, { status: "done" });
    const { time } = await whyOf(session, id);
    expect(time.parts.map(({ name }) => name)).toContain("queue.collect");
    expect(time.parts.map(({ name }) => name)).not.toContain("unattributed");
  }
});

test("an answer about 50,000 spans has all of them, and its parts add up", async () => {
  const { session, runner } = await TestSession.running();
  const id = await session.send("go");
  const dispatch = await runner.accept();
  const spans = new RunnerSpans(session);
  const now = Date.now();
  const turn = spans.turn(dispatch, now, now + 50_000);
  const agent = spans.add("invoke_agent build", turn, now, now + 50_000);
  for (let n = 0; n < 25_000; n++) {
    const ids = { "valet.opencode.session.id": "ses_1", "valet.opencode.message.id": `msg_${n}` };
    const usage = {
      "gen_ai.usage.input_tokens": 20_000,
      "gen_ai.usage.output_tokens": 100,
      "valet.llm.cost_usd": 0.01,
    };
    spans.add("chat glm-5", agent, now + 2 * n, now + 2 * n + 1, {
      ...{ ...ids, ...usage, "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "glm-5" },
      ...{ "gen_ai.request.stream": true, "gen_ai.agent.name": "build", "server.address": "api.example.com" },
      ...{ "gen_ai.usage.cache_read.input_tokens": 18_000, "gen_ai.response.time_to_first_chunk": 0.0005 },
    });
    spans.add(`execute_tool ${n % 3 === 0 ? "bash" : "read"}`, agent, now + 2 * n + 1, now + 2 * n + 2, {
      ...{ ...ids, "gen_ai.tool.name": "bash", "gen_ai.tool.call.id": `call_${n}`, "gen_ai.tool.type": "function" },
      ...{ "valet.tool.input_length": n, "valet.tool.output_length": n, "process.exit.code": 0 },
    });
  }
  await spans.sendTo(runner);
  const { time, money } = await whyOf(session, id);
  expect(money.by[0]?.calls).toBe(25_000);
  expect(time.parts.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["tool", "model.first_token", "model.streaming"]),
  );
}, 120_000);
