/** The permits of model calls, with a fake runner over real HTTP. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "@valet/shared/limits";
import { type ModelCallRef, WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import { expect, onTestFinished, test, vi } from "vitest";
import { modelCallPermits } from "./model-call-permits.ts";
import { OpenAnswers } from "./open-answers.ts";

const CONTEXT = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "a=b" };
/** The plugin adds the `tracestate` once it knows the request's host. */
const HEADERS = { traceparent: CONTEXT.traceparent };

interface Choices {
  /** The runner's answer, or a function that returns it or a promise of it; `undefined` makes it hang. */
  readonly reply: unknown;
  /** The size of the runner's file of refusals. */
  readonly refusals?: () => number | undefined;
  readonly limits?: Parameters<typeof modelCallPermits>[3];
}

/** On a busy machine the runner may take longer than a hook usually waits. */
const PATIENT = { hookMs: 20_000, permitMs: 20_000 };
/** The first of them is what OpenCode waits for, as in real life. */
const IMPATIENT = { hookMs: LIMITS.hookMs, permitMs: 60_000 };

async function setUp({ reply, refusals = () => undefined, limits = PATIENT }: Choices = { reply: CONTEXT }) {
  const requests: ModelCallRef[] = [];
  const server = createServer(async (request, response) => {
    requests.push(((await json(request)) as { modelCall: ModelCallRef }).modelCall);
    const said: unknown = await (typeof reply === "function" ? reply() : reply);
    if (said !== undefined) response.end(JSON.stringify(said));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const permits = modelCallPermits({ url, secret: "s" }, new OpenAnswers(), refusals, limits);
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
  const replies = [{ isRefused: true }, CONTEXT];
  const { answers, ask } = await setUp({ reply: () => replies.shift() });
  await answers("msg_2", "msg_1");
  expect(await ask("msg_1")).toEqual({ isRefused: true, headers: {} });
  await answers("msg_5", "msg_4");
  expect(await ask("msg_4")).toEqual({ headers: HEADERS });
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
  await vi.waitFor(() => expect(requests).toHaveLength(1), 20_000);
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
  await vi.waitFor(() => expect(requests).toHaveLength(1), 20_000);
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
  const { requests, answers, headersFor } = await setUp({ reply: CONTEXT, limits: { ...PATIENT, hookMs: 100 } });
  expect(await headersFor("msg_1")).toEqual({});
  await answers("msg_2", "msg_1");
  expect(await headersFor("msg_4")).toEqual({});
  expect(await headersFor("msg_1", "ses_2")).toEqual({});
  expect(requests).toEqual([]);
});

test.each([
  ["answers something else", ["no context"]],
  ["answers with an error", { ok: false, error: "Too many calls at once." }],
  ["does not know the call", {}],
])("a runner that %s does not block the call", async (_what, reply) => {
  const { answers, ask } = await setUp({ reply });
  await answers("msg_2", "msg_1");
  expect(await ask("msg_1")).toEqual({ headers: {} });
});

test.each([
  ["was asked ahead", () => 0],
  ["is asked when the request leaves", () => undefined],
])(
  "a runner that hangs and %s holds up no call, nor does an answer that OpenCode never announces",
  async (_what, refusals) => {
    const { answers, ask } = await setUp({ reply: undefined, refusals, limits: IMPATIENT });
    // Before the runner's time is over, or this test's.
    expect(await ask("msg_1")).toEqual({ headers: {} });
    await answers("msg_2", "msg_1");
    expect(await ask("msg_1")).toEqual({ headers: {} });
    expect(await ask("msg_1")).toEqual({ headers: {} });
  },
);

test("once a runner has refused calls, one for which it does not answer waits for it, until it has answered for that session", async () => {
  const hanging: (() => void)[] = [];
  let count = 0;
  const { answers, ask } = await setUp({
    reply: () => new Promise((resolve) => hanging.push(() => resolve(count === 1 ? { isRefused: true } : CONTEXT))),
    refusals: () => count,
    limits: IMPATIENT,
  });
  await answers("msg_2", "msg_1");
  await vi.waitFor(() => expect(hanging).toHaveLength(1), 20_000);
  count = 1;
  const asked = ask("msg_1");
  expect(await Promise.race([asked, sleep(2 * LIMITS.hookMs, "waits")])).toBe("waits");
  // One was asked for ahead, before the refusal.
  await vi.waitFor(() => expect(hanging).toHaveLength(2), 20_000);
  for (const answer of hanging) answer();
  expect(await asked).toEqual({ isRefused: true, headers: {} });
  // It knows of that refusal by now, and hangs.
  expect(await ask("msg_1")).toEqual({ headers: {} });
}, 30_000);

test("a call waits only once for a runner that hangs, though what it was promised ahead has become invalid", async () => {
  let refused = 0;
  const limits = { hookMs: 100, permitMs: 2_000 };
  const { requests, answers, headersFor } = await setUp({ reply: undefined, refusals: () => refused, limits });
  await answers("msg_2", "msg_1");
  const asked = headersFor("msg_1");
  // It waits for what was requested ahead.
  await vi.waitFor(() => expect(requests).toHaveLength(1), 20_000);
  refused++;
  expect(await Promise.race([asked, sleep(1.75 * limits.permitMs, "waits for another")])).toEqual({});
});
