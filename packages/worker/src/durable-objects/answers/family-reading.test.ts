/** The answer `why` about work in other sessions, on real objects. The test plays the runners. */
import type { WhySpan } from "@valet/shared/answers/why/spans";
import type { WhyView } from "@valet/shared/protocol/why";
import { contextHeaders, extractFromHeaders } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import type { FakeRunner } from "../../../test/fake-runner.ts";
import { requestOf, sessionIn, systemMessage, working } from "../../../test/family.ts";
import { RunnerSpans } from "../../../test/runner-spans.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { ok } from "../core/result.ts";
import { FAMILY_MS, FamilyReading, MAX_SESSIONS } from "./family-reading.ts";

/** A message whose agent has spawned a child; the tool call is in the parent's trace. */
async function spawning() {
  const { session: parent, runner } = await TestSession.running();
  const id = await parent.send("go");
  const dispatch = await runner.accept();
  const spans = new RunnerSpans(parent);
  const turn = spans.open("valet.turn", extractFromHeaders({ traceparent: dispatch.traceparent }), Date.now());
  const tool = spans.add("execute_tool spawn_session", turn.context, Date.now(), Date.now() + 1);
  await spans.sendTo(runner);
  const frame = { ...requestOf({ action: "spawn", prompt: "count" }, dispatch.attemptId), ...contextHeaders(tool) };
  runner.send(frame);
  const { answer } = await runner.next("child-session-response");
  const child = TestSession.of(sessionIn(answer));
  return { parent, runner, id, dispatch, spans, turn, child };
}

async function whyOf(session: TestSession, id: string): Promise<WhyView> {
  return valueIn(await session.stub.why("message", id));
}

async function endTask(child: TestSession, runner: FakeRunner, attemptId: string, more = {}): Promise<string> {
  const { messages } = valueIn(await child.stub.messages());
  const id = messages[0]?.id as string;
  await runner.end(attemptId, more);
  await child.messageIs(id, { status: "done" });
  return id;
}

test("a child that failed: its parts, its cause, its cost; also in the answer about its report", async () => {
  const { parent, runner, id, dispatch, child } = await spawning();
  await runner.end(dispatch.attemptId);
  await parent.messageIs(id, { status: "done" });
  const { runner: childRunner, attemptId } = await working(child);
  const open = await whyOf(parent, id);
  expect(open.sessions).toMatchObject([{ sessionId: child.id, reading: "read", work: [{ state: "running" }] }]);
  const task = await endTask(child, childRunner, attemptId, { outcome: "error", errorType: "model_unknown" });
  const view = await whyOf(parent, id);
  expect(view.outcome).toBe("ok");
  expect(view.sentence).toContain(`its child session \`${child.id}\` failed, because of \`model_unknown\``);
  const [work] = view.sessions[0]?.work ?? [];
  expect(work).toMatchObject({ messageId: task, role: "work", outcome: "error", failure: { type: "model_unknown" } });
  expect(work?.time.parts[0]?.spans[0]?.sessionId).toBe(child.id);
  const report = await systemMessage(parent, "did not complete");
  const told = await whyOf(parent, report.id);
  expect(told.sessions[0]).toMatchObject({ sessionId: child.id, work: [{ messageId: task, role: "cause" }] });
  expect(told.sentence).toContain(`it reports that \`${child.id}\` failed`);
});

test("a command in the child's trace, which a message of the parent waits for, expands into the child's parts", async () => {
  const { parent, runner, id, dispatch, spans, turn, child } = await spawning();
  const { runner: childRunner, attemptId } = await working(child);
  await endTask(child, childRunner, attemptId);
  const from = Date.now();
  const bash = spans.open("execute_tool bash", turn.context, from);
  const asked = valueIn(
    await child.stub.sendMessage({ content: "more" }, { ...CALLER, ...contextHeaders(bash.context) }),
  );
  const second = await childRunner.accept();
  await eventually(() => expect(Date.now() - from).toBeGreaterThan(200));
  await childRunner.end(second.attemptId);
  await child.messageIs(asked.messageId, { status: "done" });
  bash.end(Date.now());
  turn.end(Date.now());
  await spans.sendTo(runner);
  await runner.end(dispatch.attemptId);
  await parent.messageIs(id, { status: "done" });
  const { time, sessions } = await whyOf(parent, id);
  const waited = time.parts.find(({ name }) => name === "child_session.work");
  expect(waited).toMatchObject({ detail: child.id, spans: [{ sessionId: child.id }] });
  expect(waited?.ms).toBeGreaterThan(150);
  expect(waited?.parts.length).toBeGreaterThan(0);
  expect(sessions.flatMap(({ work }) => work.map(({ messageId }) => messageId))).toContain(asked.messageId);
});

test("a child whose runner is not heard says so to its parent, whose answer takes the child's cost for a lower bound", async () => {
  const { parent, id, child } = await spawning();
  const { runner } = await working(child);
  const heard = async () => (await whyOf(parent, id)).sessions.flatMap(({ work }) => work.map(({ known }) => known));
  expect(await heard()).toEqual([true]);
  runner.close();
  await eventually(async () => expect(await heard()).toEqual([false]));
});

test("a child that was terminated with its parent names the parent's end", async () => {
  const { parent, child } = await spawning();
  const { messages } = valueIn(await child.stub.messages());
  const end = { ...CALLER, traceparent: `00-${"d".repeat(32)}-${"e".repeat(16)}-03` };
  await parent.stub.terminate(end);
  await child.reaches("terminated");
  const { failure } = await whyOf(child, messages[0]?.id as string);
  expect(failure).toMatchObject({ type: "session_terminated" });
  expect(failure?.sentence).toContain(`since its parent session \`${parent.id}\` was terminated`);
  expect(failure?.evidence.map(({ sessionId }) => sessionId)).toContain(parent.id);
});

test("another owner's session tells nothing, and one that was deleted is said to be", async () => {
  const { session } = await TestSession.running();
  const request = { traceIds: [], sinceMs: 0, untilMs: Date.now() };
  const refused = await session.stub.familySpans(request, { ...CALLER, ownerId: "somebody-else" });
  expect(refused).toMatchObject({ ok: false, problem: { status: 404 } });
  const { parent, id, child } = await spawning();
  await bindings.DB.prepare("INSERT INTO deleted_sessions VALUES (?, ?, ?, 'requested', NULL, 0, 0)")
    .bind(child.id, CALLER.ownerId, new Date().toISOString())
    .run();
  const { sessions, money } = await whyOf(parent, id);
  expect(sessions).toMatchObject([{ sessionId: child.id, reading: "deleted", work: [] }]);
  expect(money.children).toEqual([{ sessionId: child.id, cost_usd: null, known: false }]);
});

const SPAWN: Omit<WhySpan, "sessionId" | "attributes"> = {
  name: "valet.child_session.spawn",
  traceId: "1".repeat(32),
  spanId: "1".repeat(16),
  parentId: null,
  kind: 3,
  startMs: 1,
  endMs: 2,
  outcome: "ok",
  events: [],
  links: [],
  isSealed: false,
  service: "valet-worker",
};
const spawnOf = (sessionId: string, child: string): WhySpan => ({
  ...SPAWN,
  sessionId,
  attributes: { "valet.child_session.id": child },
});

test("sessions that name each other, never answer, are too many or too old end the answer in time", async () => {
  const asked: string[] = [];
  const reading = new FamilyReading({
    sessionId: () => "self",
    parentId: () => undefined,
    newestChildren: () => [],
    ask: (id) => {
      asked.push(id);
      if (id === "never") return new Promise(() => {});
      if (id === "old") return Promise.reject(new TypeError('The RPC receiver does not implement the method "x".'));
      if (id === "broken") return Promise.reject(new Error("reset"));
      const spans = [spawnOf(id, "self"), spawnOf(id, "a"), spawnOf(id, `${id}+`)];
      return Promise.resolve(ok({ jobs: [], spans }));
    },
  });
  const own = ["a", "never", "old", "broken", ...Array.from({ length: 10 }, (_, n) => `n${n}`)];
  const read = reading.read(
    own.map((id) => spawnOf("self", id)),
    { sinceMs: 0, untilMs: 1 },
  );
  // A timer that is due later, since a machine that pauses delays both.
  const late = new Promise<undefined>((resolve) => setTimeout(resolve, FAMILY_MS + 300));
  const { others } = (await Promise.race([read, late])) ?? { others: [] };
  expect(new Set(asked).size).toBe(asked.length);
  expect(asked.length).toBeLessThan(MAX_SESSIONS);
  expect(asked).not.toContain("self");
  const readings = new Map(others.map(({ sessionId, reading: how }) => [sessionId, how]));
  expect(readings.get("never")).toBe("slow");
  expect(readings.get("old")).toBe("older");
  expect(readings.get("broken")).toBe("failed");
  expect([...readings.values()]).toContain("left_out");
});
