/** The permits of model calls, with a fake runner over real HTTP. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { type ModelCallRef, WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import { expect, onTestFinished, test, vi } from "vitest";
import { modelCallPermits } from "./model-call-permits.ts";
import { OpenAnswers } from "./open-answers.ts";

const CONTEXT = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "a=b" };
/** The plugin adds the `tracestate` once it knows the request's host. */
const HEADERS = { traceparent: CONTEXT.traceparent };

interface Choices {
  /** The runner's answer, or a function that returns it; `undefined` makes it hang. */
  readonly reply: unknown;
  /** The size of the runner's file of refusals. */
  readonly refusals?: () => number | undefined;
}

async function setUp({ reply, refusals = () => undefined }: Choices = { reply: CONTEXT }) {
  const requests: ModelCallRef[] = [];
  const server = createServer(async (request, response) => {
    requests.push(((await json(request)) as { modelCall: ModelCallRef }).modelCall);
    const said: unknown = typeof reply === "function" ? reply() : reply;
    if (said !== undefined) response.end(JSON.stringify(said));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const permits = modelCallPermits({ url, secret: "s" }, new OpenAnswers(), refusals, 500, 500);
  const answers = (id: string, parentID: string, more: object = {}) => {
    const info = { id, parentID, role: "assistant", sessionID: "ses_1", ...more };
    return permits.event({ event: { type: "message.updated", properties: { info } } });
  };
  const ask = async (userMessageId: string, sessionID = "ses_1") => {
    const output = { headers: {} as Record<string, string> };
    const { permit } = await permits.headers({ sessionID, message: { id: userMessageId } }, output);
    return { isRefused: permit.isRefused, headers: output.headers };
  };
  const headersFor = async (...call: Parameters<typeof ask>) => (await ask(...call)).headers;
  return { requests, answers, ask, headersFor };
}

test("a request carries the context of the answer that it produces, on each retry and for each step", async () => {
  const { requests, answers, headersFor } = await setUp();
  await answers("msg_2", "msg_1");
  expect(await headersFor("msg_1")).toEqual(HEADERS);
  expect(await headersFor("msg_1")).toEqual(HEADERS);
  await answers("msg_3", "msg_1");
  await answers("msg_9", "", { role: "user" });
  await headersFor("msg_1");
  expect(requests.map(({ messageId }) => messageId)).toEqual(["msg_2", "msg_2", "msg_3"]);
  expect(requests[0]).toEqual({ opencodeSessionId: "ses_1", messageId: "msg_2", userMessageId: "msg_1" });
});

test("the runner refuses a call, and permits the next one", async () => {
  const { answers, ask } = await setUp({ reply: { isRefused: true } });
  await answers("msg_2", "msg_1");
  expect(await ask("msg_1")).toEqual({ isRefused: true, headers: {} });
  expect(await ask("msg_4")).toEqual({ headers: {} });
});

test("a request for an answer whose event is late waits for it, and does not take the answer before for its own", async () => {
  const { requests, answers, headersFor } = await setUp();
  const first = headersFor("msg_1");
  await answers("msg_2", "msg_1");
  expect(await first).toEqual(HEADERS);
  await answers("msg_2", "msg_1", { time: { completed: 1 } });
  const second = headersFor("msg_1");
  // Of an earlier answer, and of another session.
  await answers("msg_0", "msg_1", { time: { completed: 1 } });
  await answers("msg_5", "msg_1", { sessionID: "ses_2" });
  await answers("msg_3", "msg_1");
  expect(await second).toEqual(HEADERS);
  expect(requests.map(({ messageId }) => messageId)).toEqual(["msg_2", "msg_3"]);
});

test("the permit is requested when OpenCode announces the answer, once, and a retry requests another one", async () => {
  const { requests, answers, headersFor } = await setUp({ reply: CONTEXT, refusals: () => 0 });
  await answers("msg_2", "msg_1");
  await vi.waitFor(() => expect(requests).toHaveLength(1));
  await answers("msg_2", "msg_1");
  expect(await headersFor("msg_1")).toEqual(HEADERS);
  expect(requests).toHaveLength(1);
  expect(await headersFor("msg_1")).toEqual(HEADERS);
  expect(requests.map(({ messageId }) => messageId)).toEqual(["msg_2", "msg_2"]);
});

test.each([
  ["refused calls", () => 1],
  ["removed its file", () => undefined],
])("a permit from before the runner %s is requested again", async (_what, later) => {
  let isRefused = false;
  const { requests, answers, ask } = await setUp({
    reply: () => (isRefused ? { isRefused } : CONTEXT),
    refusals: () => (isRefused ? later() : 0),
  });
  await answers("msg_2", "msg_1");
  await vi.waitFor(() => expect(requests).toHaveLength(1));
  isRefused = true;
  expect(await ask("msg_1")).toEqual({ isRefused, headers: {} });
  expect(requests).toHaveLength(2);
});

test("a call that the runner refused ahead is refused, and no permit is requested for a warm-up", async () => {
  const { requests, answers, ask } = await setUp({ reply: { isRefused: true }, refusals: () => 3 });
  await answers("msg_9", `msg_${WARM_UP_MARK}`);
  await answers("msg_2", "msg_1");
  expect(await ask("msg_1")).toEqual({ isRefused: true, headers: {} });
  expect(requests.map(({ messageId }) => messageId)).toEqual(["msg_2"]);
});

test("a request for another message, or in another session, carries no context", async () => {
  const { requests, answers, headersFor } = await setUp();
  expect(await headersFor("msg_1")).toEqual({});
  await answers("msg_2", "msg_1");
  expect(await headersFor("msg_4")).toEqual({});
  expect(await headersFor("msg_1", "ses_2")).toEqual({});
  expect(requests).toEqual([]);
});

test.each([
  ["does not answer", undefined],
  ["answers something else", ["no context"]],
  ["answers with an error", { ok: false, error: "Too many calls at once." }],
  ["does not know the call", {}],
])("a runner that %s does not block the call", async (_what, reply) => {
  const { answers, ask } = await setUp({ reply });
  await answers("msg_2", "msg_1");
  expect(await ask("msg_1")).toEqual({ headers: {} });
});
