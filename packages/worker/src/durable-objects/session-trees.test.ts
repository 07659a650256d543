/**
 * The traces of the SessionAgent written out whole, as the specification draws them: prompt and spawn, hibernate and restore,
 * steer, collect. They are read back from the session's own OTLP. The runner's and the broker's spans are not in them: their
 * parts are played by the test.
 */
import type { SendMessage } from "@valet/shared/protocol/session-api";
import { beforeEach, expect, test } from "vitest";
import type { FakeRunner } from "../../test/fake-runner.ts";
import { CALLER, type SeenSpan, TestSession, valueIn } from "../../test/session.ts";
import type { CallContext } from "./contract.ts";

/** Numbers for traces, in order of appearance, so that links can be read. */
let numbers: Map<string, number>;

beforeEach(() => {
  numbers = new Map();
});

/** Every trace of a session as a tree: names, outcomes, links. */
async function trees(session: TestSession): Promise<string> {
  const spans = await session.spans();
  for (const { traceId } of spans) if (!numbers.has(traceId)) numbers.set(traceId, numbers.size + 1);
  return [...numbers].map(([traceId, number]) => `trace ${number}\n${tree(spans, traceId)}`).join("\n");
}

function tree(spans: readonly SeenSpan[], traceId: string): string {
  const inTrace = spans.filter((span) => span.traceId === traceId);
  const ids = new Set(inTrace.map(({ spanId }) => spanId));
  const lines = (parentSpanId: string | undefined, depth: number): string[] =>
    inTrace
      .filter((span) => (depth === 0 ? !ids.has(span.parentSpanId ?? "") : span.parentSpanId === parentSpanId))
      .flatMap((span) => [`${"  ".repeat(depth + 1)}${line(span)}`, ...lines(span.spanId, depth + 1)]);
  return lines(undefined, 0).join("\n");
}

function line({ name, attributes, links, isOpen }: SeenSpan): string {
  const how = [attributes["valet.outcome"], attributes["error.type"] ?? attributes["valet.outcome.reason"]]
    .filter(Boolean)
    .join(" ");
  const linked = links.map(({ type, traceId }) => `${type} → ${numbers.get(traceId) ?? "its request"}`);
  return [name, ...(isOpen ? ["open"] : how ? [how] : []), ...linked].join(", ");
}

/** A request of its own: each begins a trace, as requests do whose caller has none. */
function request(): CallContext {
  return { ...CALLER, traceparent: `00-${crypto.randomUUID().replaceAll("-", "")}-bbbbbbbbbbbbbbbb-03` };
}

async function send(session: TestSession, content: string, more: Partial<SendMessage> = {}): Promise<string> {
  return valueIn(await session.stub.sendMessage({ content, ...more }, request())).messageId;
}

async function work(runner: FakeRunner): Promise<void> {
  await runner.end((await runner.accept()).attemptId);
}

test("a first message waits for the sandbox", async () => {
  const session = new TestSession();
  await session.create();
  const id = await send(session, "hello");
  const runner = await (await session.connect()).ready();
  await work(runner);
  await session.messageIs(id, { status: "done" });
  expect(await trees(session)).toMatchInlineSnapshot(`
  "trace 1
    valet.sandbox.spawn, ok, caused_by → its request
      valet.sandbox.create, ok
        POST /v1/sandboxes
  trace 2
    valet.prompt, ok
      valet.queue.wait, ok, waited_on → 1
      valet.prompt.dispatch, ok"
`);
});

test("a message wakes a hibernated session", async () => {
  const { session, runner } = await TestSession.running();
  valueIn(await session.stub.hibernate(request()));
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
  runner.close();
  await session.reaches("hibernated");
  const id = await send(session, "good morning");
  const second = await (await session.connect()).ready();
  await work(second);
  await session.messageIs(id, { status: "done" });
  expect(await trees(session)).toMatchInlineSnapshot(`
    "trace 1
      valet.sandbox.spawn, ok, caused_by → its request
        valet.sandbox.create, ok
          POST /v1/sandboxes
    trace 2
      valet.sandbox.hibernate, ok, caused_by → its request, follows → 1
        valet.sandbox.snapshot, ok
          POST /v1/sandboxes
        valet.sandbox.delete, ok
          POST /v1/sandboxes
    trace 3
      valet.prompt, ok
        valet.queue.wait, ok, waited_on → 4
        valet.prompt.dispatch, ok
    trace 4
      valet.sandbox.restore, ok, caused_by → 3, follows → 2
        valet.sandbox.create, ok
          POST /v1/sandboxes"
  `);
});

test("a steering message replaces the running one", async () => {
  const { session, runner } = await TestSession.running();
  await send(session, "running");
  const { attemptId } = await runner.accept();
  const id = await send(session, "now", { queueMode: "steer" });
  await runner.next("abort");
  await runner.end(attemptId, { outcome: "aborted", errorType: "steered" });
  await work(runner);
  await session.messageIs(id, { status: "done" });
  expect(await trees(session)).toMatchInlineSnapshot(`
    "trace 1
      valet.sandbox.spawn, ok, caused_by → its request
        valet.sandbox.create, ok
          POST /v1/sandboxes
    trace 2
      valet.prompt, superseded steered, caused_by → 3
        valet.queue.wait, ok
        valet.prompt.dispatch, ok
    trace 3
      valet.prompt, ok
        valet.queue.wait, ok, waited_on → 2
        valet.prompt.dispatch, ok"
  `);
});

test("collected messages keep their traces, and their dispatch has its own", async () => {
  const { session, runner } = await TestSession.running({ queueMode: "collect" });
  await send(session, "one");
  const id = await send(session, "two");
  await session.ripen();
  await work(runner);
  await session.messageIs(id, { status: "done" });
  expect(await trees(session)).toMatchInlineSnapshot(`
  "trace 1
    valet.sandbox.spawn, ok, caused_by → its request
      valet.sandbox.create, ok
        POST /v1/sandboxes
  trace 2
    valet.prompt, ok
      valet.queue.wait, ok
  trace 3
    valet.prompt, ok
      valet.queue.wait, ok
  trace 4
    valet.prompt.dispatch, ok, collected → 2, collected → 3"
`);
});
