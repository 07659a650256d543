// What a session does now, and whether it needs attention: at the real object, with a scripted broker and the test as its runner.
import { runInDurableObject } from "cloudflare:test";
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import type { AttentionItem, NowView } from "@valet/shared/protocol/now";
import { encodeTraces, type ReadableSpan, SpanKind, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { beforeAll, expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import type { FakeRunner } from "../../../test/fake-runner.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { listAttention } from "../../database/attention.ts";
import { migrate } from "../../database/setup.ts";
import { readStepDurations } from "../../database/step-durations.ts";

const { DB, MIGRATIONS } = bindings;

beforeAll(() => migrate(DB, MIGRATIONS));

const nowOf = async (session: TestSession): Promise<NowView> => valueIn(await session.stub.now());
const attentionOf = async (session: TestSession): Promise<AttentionItem | undefined> => {
  const items = await listAttention(DB, CALLER.ownerId, 100);
  return items.find(({ sessionId }) => sessionId === session.id);
};

/**
 * Sends a message whose turn has one open step.
 * @param agoMs when the turn and the step began, and the step was heard last
 * @param offMs how far the runner's clock is ahead of what it was at its hello
 */
async function openStep(
  session: TestSession,
  runner: FakeRunner,
  name: string,
  attributes: Record<string, string | number>,
  agoMs: number,
  offMs = 0,
): Promise<{ readonly messageId: string; readonly attemptId: string }> {
  const messageId = await session.send("go");
  const { attemptId, traceparent = "" } = await runner.accept();
  const [, traceId = "", spanId = ""] = traceparent.split("-");
  const tracer = new Tracer({ scope: { name: "@valet/runner" }, processor: { onStart: () => {}, onEnd: () => {} } });
  const parent = { traceId, spanId, traceFlags: 3, traceState: "", isRemote: true };
  const own = { "valet.session.id": session.id };
  const startTime = Date.now() - agoMs + offMs;
  const turn = tracer.startSpan("valet.turn", { kind: SpanKind.CONSUMER, parent, startTime, attributes: own });
  const step = tracer.startSpan(name, {
    parent: turn,
    startTime,
    attributes: { ...own, ...attributes },
  });
  const open = [turn, step].map((span) => serialiseSpan(span as unknown as ReadableSpan));
  runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp: encodeTraces({}, []), open });
  await eventually(() => expect(runner.heard).toContainEqual(expect.objectContaining({ type: "spans-ack", seq: 1 })));
  // The watchdog's timer tells when the runner was heard of the attempt last.
  await runInDurableObject(session.stub, (_object, { storage }) => {
    storage.sql.exec("UPDATE attempts SET acceptedMs = acceptedMs - ?, dispatchedMs = dispatchedMs - ?", agoMs, agoMs);
    storage.sql.exec("UPDATE timers SET due_ms = due_ms - ? WHERE kind = 'stuck'", agoMs);
  });
  return { messageId, attemptId };
}

const CHAT = { "gen_ai.request.model": "m", "gen_ai.provider.name": "valet" };

test("an idle session is idle, and one that works says what it waits for", async () => {
  const { session, runner } = await TestSession.running();
  expect((await nowOf(session)).verdict).toMatchObject({ state: "idle", rule: "no_work" });
  const { messageId } = await openStep(session, runner, "chat m", CHAT, 10_000);
  const queued = await session.send("later");
  const { verdict, running, queue, queueLength, runnerHeardAt } = await nowOf(session);
  expect(verdict).toMatchObject({ state: "working", rule: "work_running" });
  expect(verdict.why).toBe(`The agent works on the message ${messageId}. The model \`m\` was asked.`);
  expect(running).toMatchObject([
    { id: messageId, kind: "message", isAccepted: true, steps: [{ kind: "model", name: "m", heardAt: null }] },
  ]);
  expect(running[0]?.steps[0]?.age_ms).toBeGreaterThanOrEqual(10_000);
  expect(queue).toMatchObject([{ id: queued, reason: "runner_busy" }]);
  expect(queueLength).toBe(1);
  expect(runnerHeardAt).not.toBeNull();
});

test.each([-3_600_000, 3_600_000])(
  "a step has its age by the session's clock if the runner's was set by %i ms since its hello",
  async (offMs) => {
    const { session, runner } = await TestSession.running();
    await openStep(session, runner, "chat m", CHAT, 10_000, offMs);
    const { verdict, running } = await nowOf(session);
    expect(verdict).toMatchObject({ state: "working", rule: "work_running" });
    expect(running[0]?.steps[0]?.age_ms).toBeGreaterThan(9000);
    expect(running[0]?.steps[0]?.age_ms).toBeLessThan(60_000);
  },
);

test("while the link to the runner is down, `why` says that the message is without its runner, as the status does", async () => {
  const { session, runner } = await TestSession.running();
  const { messageId } = await openStep(session, runner, "execute_tool bash", { "gen_ai.tool.name": "bash" }, 0);
  const why = async () => valueIn(await session.stub.why("message", messageId)).sentence;
  await eventually(async () => expect(await why()).toMatch(/; now in the tool `bash`, for /));
  runner.close();
  await eventually(async () => expect((await nowOf(session)).verdict.rule).toBe("runner_reconnecting"));
  await eventually(async () => expect(await why()).toMatch(/; now without the runner, for /));
});

test("a model that becomes silent is quiet by time alone: an alarm finds it, after an eviction, too, and D1 has it until the end", async () => {
  const { session, runner } = await TestSession.running();
  const { attemptId } = await openStep(session, runner, "chat m", CHAT, 70_000);
  await session.evict();
  await session.alarm();
  const item = await eventually(async () => {
    const found = await attentionOf(session);
    expect(found?.verdict).toMatchObject({ state: "quiet", rule: "step_quiet", threshold_ms: 60_000 });
    return found;
  });
  expect(item?.verdict.why).toBe("The model `m` has not begun its answer. More than 1 m is unusual.");
  expect((await session.view()).attention).toMatchObject({ rule: "step_quiet" });
  // The next alarms find nothing new, and write nothing.
  const version = () =>
    runInDurableObject(session.stub, (_object, { storage }) =>
      storage.sql.exec("SELECT version FROM projected_session").one(),
    );
  await eventually(async () => expect(await session.timers()).not.toContain("projection"));
  const before = await version();
  for (let times = 0; times < 3; times++) await session.alarm();
  expect(await session.timers()).not.toContain("projection");
  expect(await version()).toEqual(before);
  await runner.end(attemptId);
  await eventually(async () => expect(await attentionOf(session)).toBeUndefined());
});

test.each([
  ["provider_rate_limited", ", since the last try failed with `provider_rate_limited`"],
  ["a name that a stolen token chose", ""],
])("a pause before a retry says after what, if it is a provider's error: %s", async (after, expected) => {
  const { session, runner } = await TestSession.running();
  const retry = { "valet.llm.attempt": 2, "valet.retry.delay_ms": 60_000, "valet.retry.after": after };
  await openStep(session, runner, "valet.retry.wait", retry, 5_000);
  const { verdict, running } = await nowOf(session);
  expect(verdict).toMatchObject({ state: "working", rule: "work_running" });
  expect(verdict.why).toContain(`The agent pauses before it asks the model again${expected}.`);
  expect(running[0]?.steps).toMatchObject([{ kind: "retry", timeout_ms: 60_000 }]);
});

test("a tool within its own limit needs no attention, however long it is silent", async () => {
  const { session, runner } = await TestSession.running();
  const tool = { "gen_ai.tool.name": "bash", "gen_ai.tool.call.id": "c", "valet.tool.timeout_ms": 3_600_000 };
  await openStep(session, runner, "execute_tool bash", tool, 1_000_000);
  await session.alarm();
  const { verdict } = await nowOf(session);
  expect(verdict).toMatchObject({ state: "working" });
  expect(verdict.why).toContain("The tool `bash` runs, within its own limit of 1 h.");
  expect((await session.view()).attention).toBeUndefined();
});

test("work that waits until a sandbox's files can be kept needs attention", async () => {
  const { session } = await TestSession.running();
  const stopped = { sandbox: { state: "stopped", stopReason: "broker_lost" } } as const;
  const full = { problem: { status: 500, code: "snapshot_failed", detail: "no space left on device" } };
  await session.broker.script({ get: [stopped, stopped], snapshot: [full, full] });
  await session.evict("close");
  await session.send("work");
  await eventually(async () => expect((await session.view()).sleepProblem).toBeDefined());
  expect((await session.view()).attention).toBeUndefined();
  // Both the problem and the work are from long ago.
  await session.crash(
    "UPDATE session SET record = json_set(record, '$.sleepProblem.sinceMs', 1); UPDATE jobs SET waitingSinceMs = 1",
  );
  await eventually(async () => {
    await session.alarm();
    expect((await attentionOf(session))?.verdict).toMatchObject({ state: "stuck", rule: "files_unkept" });
  });
  // The second try, which fails, may have begun before or after this: the third one succeeds.
  await eventually(async () => {
    if ((await session.timers()).includes("check")) await session.elapse("check");
    expect((await session.view()).status).toBe("restoring");
  });
  await eventually(async () => expect(await attentionOf(session)).toBeUndefined());
});

test("views name the time of the timer that leads to the next snapshot, also while the broker is away", async () => {
  const { session } = await TestSession.running();
  const stopped = { sandbox: { state: "stopped", stopReason: "broker_lost" } } as const;
  const full = { problem: { status: 500, code: "snapshot_failed", detail: "no space left on device" } };
  const away = { problem: { status: 500, code: "internal" } } as const;
  await session.broker.script({ get: [stopped, away, away], snapshot: [full] });
  await session.evict("close");
  await session.send("work");
  await eventually(async () => expect((await session.view()).sleepProblem).toBeDefined());
  await session.crash("UPDATE session SET record = json_set(record, '$.sleepProblem.retryMs', 1)");
  await session.elapse("check");
  await eventually(async () => expect(await session.timers()).toContain("check"));
  const checkMs = await runInDurableObject(session.stub, (_object, { storage }) =>
    Number(storage.sql.exec("SELECT due_ms FROM timers WHERE kind = 'check'").one().due_ms),
  );
  const { sleepProblem } = await session.view();
  expect(sleepProblem?.retryAt).toBe(new Date(checkMs).toISOString());
  expect((await nowOf(session)).verdict.nextStep).toContain(
    `tried again at ${new Date(checkMs).toISOString().slice(11, 19)} UTC`,
  );
});

test("a question needs attention from when it is asked until it is answered", async () => {
  const { session, runner } = await TestSession.running();
  await session.send("go");
  const { attemptId } = await runner.accept();
  const question = { question: "Which one?", header: "One", options: [] };
  runner.send({ type: "question-asked", attemptId, questionId: "que_1", questions: [question] });
  await eventually(async () =>
    expect((await attentionOf(session))?.verdict).toMatchObject({
      state: "waiting_for_person",
      why: "The agent asks a question.",
      command: `valet reply ${session.id} que_1 ANSWER`,
    }),
  );
  // The database has nothing of what is asked; the session tells it.
  expect((await nowOf(session)).verdict.why).toBe("The agent asks: Which one?");
  const row = await bindings.DB.prepare("SELECT view FROM sessions WHERE id = ?")
    .bind(session.id)
    .first<{ view: string }>();
  expect(row?.view).toContain("que_1");
  expect(row?.view).not.toContain("Which one?");
  valueIn(await session.stub.replyQuestion("que_1", [["a"]], CALLER));
  await eventually(async () => expect(await attentionOf(session)).toBeUndefined());
  expect((await nowOf(session)).verdict.state).toBe("working");
});

test("a failed job needs attention until a later job ends otherwise", async () => {
  const { session, runner } = await TestSession.running();
  await session.send("go");
  await runner.end((await runner.accept()).attemptId, {
    outcome: "error",
    errorType: "model_chain_exhausted",
    cause: "provider_failed",
  });
  const why = "The last message failed with `model_chain_exhausted`, because of `provider_failed`.";
  await eventually(async () =>
    expect((await attentionOf(session))?.verdict).toMatchObject({ state: "failed", rule: "job_failed", why }),
  );
  await session.evict();
  const told = (await nowOf(session)).verdict.why;
  expect(told).toContain("failed with `model_chain_exhausted`");
  expect(told.split("`provider_failed`")).toHaveLength(2);
  await session.send("again");
  const { attemptId } = await runner.accept();
  await eventually(async () => expect(await attentionOf(session)).toBeUndefined());
  expect((await nowOf(session)).verdict.state).toBe("working");
  await runner.end(attemptId);
  await eventually(async () => expect((await nowOf(session)).verdict.state).toBe("idle"));
});

test("a session without a sandbox for an error needs attention", async () => {
  const session = new TestSession();
  await session.create({ repoUrl: "https://git.example/x.git" });
  const runner = await (await session.connect()).hello();
  expect((await nowOf(session)).verdict).toMatchObject({ state: "waiting_for_sandbox", rule: "sandbox_starting" });
  runner.send({ type: "stage", stage: "failed", errorType: "git_not_found" });
  await session.reaches("error");
  await eventually(async () =>
    expect((await attentionOf(session))?.verdict).toMatchObject({
      state: "failed",
      rule: "session_error",
      why: "The session has no sandbox, and none could be started: `git_not_found`.",
    }),
  );
  valueIn(await session.stub.terminate(CALLER));
  await eventually(async () => expect(await attentionOf(session)).toBeUndefined());
});

test("what the owner's own steps took sets the thresholds; a turn that is reported twice counts once", async () => {
  const { session, runner } = await TestSession.running();
  const stepDurations: StepDurations[] = [{ kind: "model", name: "slow", ms: Array(20).fill(100_000) }];
  await session.send("go");
  const first = await runner.accept();
  await runner.end(first.attemptId, { stepDurations });
  const samples = async () => (await readStepDurations(DB, CALLER.ownerId, stepDurations))[0]?.samples;
  await eventually(async () => expect(await samples()).toHaveLength(20));
  await openStep(session, runner, "chat slow", { ...CHAT, "gen_ai.request.model": "slow" }, 290_000);
  const { verdict, running } = await nowOf(session);
  expect(verdict).toMatchObject({ state: "working" });
  expect(running[0]?.steps[0]).toMatchObject({ typical_p99_ms: 100_000, typical_samples: 20 });
});
