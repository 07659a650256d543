/** A runner that says impossible times gets no answer of its session to fail, neither at once nor for good. */
import { type Attributes, type OpenSpan, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { eventually } from "../../test/eventually.ts";
import type { FakeRunner } from "../../test/fake-runner.ts";
import { TestSession, valueIn } from "../../test/session.ts";

const TIMES = [1e300, -1e300, 9e15];

/** Returns the attempt that the runner has accepted, and the span that its own ones are below. */
async function accept(runner: FakeRunner) {
  const { attemptId, traceparent = "" } = await runner.accept();
  const [, traceId = "", spanId = ""] = traceparent.split("-");
  return { attemptId, parent: { traceId, spanId, traceFlags: 3, traceState: "", isRemote: true } };
}

function openSpan(parent: OpenSpan["context"], attributes: Attributes): string {
  const tracer = new Tracer({ scope: { name: "runner" }, processor: { onStart: () => {}, onEnd: () => {} } });
  return serialiseSpan(tracer.startSpan("chat m", { parent, attributes }) as unknown as OpenSpan);
}

test.each(
  ["valet.last_heard_ms", "valet.llm.last_request_ms", "valet.llm.last_byte_ms", "valet.retry.delay_ms"].flatMap(
    (key) => TIMES.map((value) => [key, value] as const),
  ),
)("what the session does is shown, though an open span has %s %d", async (key, value) => {
  const { session, runner } = await TestSession.running({ prompt: "hello" });
  const { parent } = await accept(runner);
  const open = [openSpan(parent, { "valet.session.id": session.id, [key]: value })];
  runner.send({ type: "spans", instanceId: runner.instanceId, seq: 1, otlp: '{"resourceSpans":[]}', open });
  await runner.next("spans-ack");
  const { running, verdict } = valueIn(await session.stub.now());
  expect(running[0]?.steps).toMatchObject([{ kind: "model", heardAt: null, lastByteAt: null, timeout_ms: null }]);
  expect(verdict.rule).toBe("work_running");
});

test.each(TIMES)("turns and certificates are shown, though an ended span was last seen at %d", async (value) => {
  const { session, runner } = await TestSession.running({ prompt: "hello" });
  const { attemptId, parent } = await accept(runner);
  const nanos = `${Date.now()}000000`;
  const attributes = [
    { key: "valet.session.id", value: { stringValue: session.id } },
    { key: "valet.last_seen_ms", value: { doubleValue: value } },
  ];
  const span = {
    ...{ traceId: parent.traceId, spanId: "1".repeat(16), parentSpanId: parent.spanId, flags: 0x301, attributes },
    ...{ name: "valet.turn", startTimeUnixNano: nanos, endTimeUnixNano: nanos },
  };
  const otlp = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
  await runner.end(attemptId, { spans: { instanceId: runner.instanceId, seq: 1, otlp } });
  const { turns } = await eventually(async () => {
    const list = valueIn(await session.stub.turns());
    expect(list.turns).toHaveLength(1);
    return list;
  });
  const [messageId = ""] = turns[0]?.message_ids ?? [];
  expect(valueIn(await session.stub.certifyMessage(messageId)).messageId).toBe(messageId);
  expect(valueIn(await session.stub.certifyTrace(parent.traceId)).traceId).toBe(parent.traceId);
  expect(valueIn(await session.stub.why("message", messageId)).kind).toBe("message");
});

test.each(TIMES)("a hello with the clock %d is none", async (clockMs) => {
  const session = new TestSession();
  await session.create();
  const runner = await session.connect();
  const { generation } = await session.credentials();
  const { instanceId } = runner;
  const identity = { instanceId, generation, clockMs, version: "1" };
  runner.send({ type: "hello", protocol: 1, ...identity, attempts: [], ready: true });
  expect((await runner.next("error")).error).toContain("clockMs");
  expect((await session.view()).status).toBe("starting");
});
