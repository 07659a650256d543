import type { ModelCallPermit, ToolCall } from "@valet/shared/protocol/child-sessions";
import { expect, onTestFinished, test } from "vitest";
import { startToolServer, type ToolServerOptions } from "./tool-server.ts";

const CALL: ToolCall = { opencodeSessionId: "a", messageId: "b", callId: "c", request: { action: "list" } };

function setUp(options: Partial<ToolServerOptions> = {}) {
  const asked: ToolCall[] = [];
  const server = startToolServer({
    answer: async (call) => {
      asked.push(call);
      return { ok: true, sessions: [] };
    },
    ...options,
  });
  onTestFinished(() => server.stop());
  const post = (body: string, headers: Record<string, string> = { authorization: `Bearer ${server.secret}` }) =>
    fetch(server.url, { method: "POST", body, headers });
  return { server, asked, post };
}

test("listens on loopback only and answers callers with the secret", async () => {
  const { server, asked, post } = setUp();
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  const response = await post(JSON.stringify(CALL));
  expect([response.status, await response.json()]).toEqual([200, { ok: true, sessions: [] }]);
  expect(asked).toEqual([CALL]);
});

test.each([
  ["no secret", {}],
  ["a wrong secret", { authorization: "Bearer x" }],
  ["a wrong secret of the same length", { authorization: `Bearer ${"x".repeat(43)}` }],
])("a call with %s is refused", async (_what, headers) => {
  const { asked, post } = setUp();
  const response = await post(JSON.stringify(CALL), headers as Record<string, string>);
  expect([response.status, await response.json()]).toEqual([401, { ok: false, error: expect.any(String) }]);
  expect(asked).toEqual([]);
});

test.each([
  ["nonsense", "<html>"],
  ["an unknown action", JSON.stringify({ ...CALL, request: { action: "format-disk" } })],
  ["a prompt that is too long", JSON.stringify({ ...CALL, request: { action: "spawn", prompt: "x".repeat(60_000) } })],
])("%s is refused", async (_what, body) => {
  const { asked, post } = setUp();
  expect((await post(body)).status).toBe(400);
  expect(asked).toEqual([]);
});

test("a body that is too large is refused, and so is another method", async () => {
  const { server, asked, post } = setUp();
  expect((await post("x".repeat(600 * 1024))).status).toBe(413);
  const headers = { authorization: `Bearer ${server.secret}` };
  expect((await fetch(server.url, { headers })).status).toBe(405);
  expect(asked).toEqual([]);
});

test("a model call gets its context, nothing if it is unknown, or a refusal", async () => {
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const permits: Readonly<Record<string, ModelCallPermit>> = { msg_1: { traceparent }, msg_2: { isRefused: true } };
  const { post } = setUp({ permitModelCall: async ({ messageId }) => permits[messageId] ?? {} });
  const ask = async (messageId: string) =>
    (
      await post(JSON.stringify({ modelCall: { opencodeSessionId: "ses_1", messageId, userMessageId: "msg_0" } }))
    ).json();
  expect([await ask("msg_1"), await ask("msg_2"), await ask("msg_3")]).toEqual([
    { traceparent },
    { isRefused: true },
    {},
  ]);
});

test("the number of concurrent calls is limited", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { post } = setUp({ maxOpen: 1, answer: () => promise.then(() => ({ ok: true, sessions: [] })) });
  const first = post(JSON.stringify(CALL));
  await expect.poll(async () => (await post(JSON.stringify(CALL))).status, { timeout: 20_000 }).toBe(429);
  resolve();
  expect((await first).status).toBe(200);
});

test("a call is aborted when its caller disconnects", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { server } = setUp({
    answer: async (_call, signal) => {
      signal.addEventListener("abort", () => resolve());
      begin();
      await ended;
      return { ok: true, sessions: [] };
    },
  });
  const abort = new AbortController();
  const headers = { authorization: `Bearer ${server.secret}` };
  const asking = fetch(server.url, { method: "POST", body: JSON.stringify(CALL), headers, signal: abort.signal });
  await begun;
  abort.abort();
  await expect(asking).rejects.toThrow();
  await ended;
});
