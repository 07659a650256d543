// The certificate of a message over all its traces, and the state in the records of turns, as the API answers them.
import { MessageCertificate } from "@valet/shared/protocol/certificate";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { type CreateSession, type SessionTurn, TurnList } from "@valet/shared/protocol/session-api";
import {
  encodeTraces,
  extractFromHeaders,
  type ReadableSpan,
  SpanKind,
  serialiseSpan,
  Tracer,
} from "@valet/shared/tracing";
import { beforeAll, expect, test } from "vitest";
import { call, signIn } from "../../test/api.ts";
import { eventually } from "../../test/eventually.ts";
import { CALLER, TestSession } from "../../test/session.ts";

let token: string;
beforeAll(async () => {
  token = await signIn(CALLER.ownerId);
});

async function read(session: TestSession, path: string): Promise<unknown> {
  const response = await call("GET", `/api/sessions/${session.id}${path}`, { token });
  expect(response.status).toBe(200);
  return response.json();
}

const certificateOf = async (session: TestSession, messageId: string) =>
  MessageCertificate.parse(await read(session, `/messages/${messageId}/certificate`));

const turnsOf = async (session: TestSession): Promise<SessionTurn[]> =>
  TurnList.parse(await read(session, "/turns")).turns;

/** Creates a session, which the API knows once D1 has it. */
async function running(input: CreateSession = {}) {
  const { session, runner } = await TestSession.running(input);
  await eventually(async () => {
    expect((await call("GET", `/api/sessions/${session.id}`, { token })).status).toBe(200);
    expect(await session.timers()).not.toContain("projection");
  });
  return { session, runner };
}

/** Sends a message as a client does, which begins a trace. */
async function send(session: TestSession, content: string) {
  const response = await call("POST", `/api/sessions/${session.id}/messages`, { token, body: { content } });
  expect(response.status).toBe(202);
  return (await response.json()) as { messageId: string; traceId: string };
}

/** Returns a frame of a runner that cannot be read, with the ids of its spans beside it. */
function unreadable(instanceId: string, seq: number, traceId: string, spanId: string): FromRunnerOf<"spans"> {
  return { type: "spans", instanceId, seq, otlp: "{", ids: [[traceId, spanId]] };
}

test("a message is pending until its last span has ended, also after its turn, and so is the turn", async () => {
  const { session, runner } = await running();
  const { messageId, traceId } = await send(session, "go");
  const { attemptId, traceparent = "" } = await runner.accept();
  expect(await certificateOf(session, messageId)).toMatchObject({ sessionId: session.id, messageId, state: "pending" });
  const ended: ReadableSpan[] = [];
  const turn = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  }).startSpan("valet.turn", {
    kind: SpanKind.CONSUMER,
    parent: extractFromHeaders({ traceparent }),
    attributes: { "valet.session.id": session.id, "valet.outcome": "ok" },
  });
  const { instanceId } = runner;
  const open = [serialiseSpan(turn as unknown as ReadableSpan)];
  runner.send({ type: "spans", instanceId, seq: 1, otlp: encodeTraces({}, []), open });
  await runner.end(attemptId);
  // The session knows from the runner that a span has not ended.
  await eventually(async () => expect(await turnsOf(session)).toMatchObject([{ certificate: "pending" }]));
  expect(await certificateOf(session, messageId)).toMatchObject({ state: "pending", traces: [{ open: 1 }] });
  turn.end();
  runner.send({ type: "spans", instanceId, seq: 2, otlp: encodeTraces({}, ended) });
  await eventually(async () => {
    const certificate = await certificateOf(session, messageId);
    expect(certificate).toMatchObject({ state: "complete", traces: [{ traceId, state: "complete", open: 0 }] });
    expect(certificate.sentence).toBe(certificate.traces[0]?.sentence);
  });
  expect(await turnsOf(session)).toMatchObject([{ trace_id: traceId, certificate: "complete" }]);
});

test("messages of a batch have two traces each, and the worst state of them; so has the turn", async () => {
  const { session, runner } = await running({ queueMode: "collect" });
  const messages = [await send(session, "a"), await send(session, "b")];
  await session.ripen();
  const { attemptId, traceparent = "" } = await runner.accept();
  await runner.end(attemptId);
  await eventually(async () => expect(await turnsOf(session)).toMatchObject([{ certificate: "complete" }]));
  const batch = extractFromHeaders({ traceparent })?.traceId as string;
  for (const { messageId, traceId } of messages) {
    const { state, traces } = await certificateOf(session, messageId);
    expect({ state, ids: traces.map((trace) => trace.traceId) }).toEqual({ state: "complete", ids: [traceId, batch] });
  }
  const lost = "f".repeat(16);
  runner.send(unreadable(runner.instanceId, 1, batch, lost));
  for (const { messageId } of messages) {
    await eventually(async () =>
      expect(await certificateOf(session, messageId)).toMatchObject({ state: "incomplete" }),
    );
    const { sentence, traces } = await certificateOf(session, messageId);
    expect(traces.map(({ state, missing }) => [state, missing])).toEqual([
      ["complete", []],
      ["incomplete", [lost]],
    ]);
    expect(sentence).toBe("1 span lost: invalid.");
  }
  expect(await turnsOf(session)).toMatchObject([{ trace_id: batch, certificate: "incomplete" }]);
});

test("a lost span of one message says nothing of the next", async () => {
  const { session, runner } = await running();
  const sent: { messageId: string; traceId: string }[] = [];
  for (const content of ["first", "second"]) {
    sent.push(await send(session, content));
    await runner.end((await runner.accept()).attemptId);
  }
  const [first, second] = sent as [(typeof sent)[0], (typeof sent)[0]];
  runner.send(unreadable(runner.instanceId, 1, first.traceId, "e".repeat(16)));
  await eventually(async () => {
    const turns = await turnsOf(session);
    expect(turns.map(({ trace_id, certificate }) => [trace_id, certificate])).toEqual([
      [first.traceId, "incomplete"],
      [second.traceId, "complete"],
    ]);
  });
  expect((await certificateOf(session, first.messageId)).state).toBe("incomplete");
  expect((await certificateOf(session, second.messageId)).state).toBe("complete");
});

test("a message that is unknown, of another session or of another owner has none", async () => {
  const { session } = await running();
  const { session: other } = await running();
  const { messageId } = await send(session, "go");
  const ask = async (of: TestSession, id: string, as = token) => {
    const response = await call("GET", `/api/sessions/${of.id}/messages/${id}/certificate`, { token: as });
    return [response.status, ((await response.json()) as { type: string }).type];
  };
  expect(await ask(session, "msg_00000000000000000000000000")).toEqual([404, "urn:valet:problem:message-not-found"]);
  expect(await ask(other, messageId)).toEqual([404, "urn:valet:problem:message-not-found"]);
  expect(await ask(session, messageId, await signIn())).toEqual([404, "urn:valet:problem:session-not-found"]);
});
