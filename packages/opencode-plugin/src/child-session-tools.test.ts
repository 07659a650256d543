/** The tools against a fake runner over real HTTP. The runner's tests call them through OpenCode itself. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { CHILD_SESSION_TOOLS, ChildSessionAnswer, ToolCall } from "@valet/shared/protocol/child-sessions";
import { expect, onTestFinished, test } from "vitest";
import { childSessionTools, type ToolContext } from "./child-session-tools.ts";
import { askRunner, readAccess, readHiddenVariables } from "./runner-access.ts";

const CONTEXT: ToolContext = {
  sessionID: "ses_a",
  messageID: "msg_a",
  callID: "call_1",
  abort: new AbortController().signal,
};

/** Starts a runner that gives this answer and parses requests as the real one does. */
async function runner(answer: unknown, respond = (response: ServerResponse, text: string) => void response.end(text)) {
  const requests: { authorization: string | undefined; call: ToolCall }[] = [];
  const server = createServer(async (request, response) => {
    const body = await json(request).catch(() => undefined);
    // The client has disconnected.
    if (body === undefined) return;
    requests.push({ authorization: request.headers.authorization, call: ToolCall.parse(body) });
    respond(response, JSON.stringify(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const access = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret: "secret" };
  return { requests, access, tools: childSessionTools(access) };
}

const CHILD = { id: "ses_1", title: "Counting", status: "running", agent: "idle", queueLength: 2, costUsd: 0.0123 };

test("spawn_session names the calling tool call", async () => {
  const { requests, tools } = await runner({ ok: true, sessions: [{ id: "ses_1" }] });
  expect(await tools.spawn_session.execute({ prompt: "Count.", title: "Counting" }, CONTEXT)).toContain("ses_1");
  expect(requests).toEqual([
    {
      authorization: "Bearer secret",
      call: {
        opencodeSessionId: "ses_a",
        messageId: "msg_a",
        callId: "call_1",
        request: { action: "spawn", prompt: "Count.", title: "Counting" },
      },
    },
  ]);
});

test("list_sessions describes the sessions in words", async () => {
  const { tools } = await runner({ ok: true, sessions: [CHILD, { id: "ses_2", status: "terminated", costUsd: 0 }] });
  expect(await tools.list_sessions.execute({}, CONTEXT)).toBe(
    'ses_1 "Counting": running, agent idle, 2 messages waiting, $0.0123\nses_2: terminated, $0.0000',
  );
});

test("list_sessions says when there are none", async () => {
  const { tools } = await runner({ ok: true, sessions: [] });
  expect(await tools.list_sessions.execute({}, CONTEXT)).toContain("no sessions");
});

test("message_session and end_session name their session", async () => {
  const { requests, tools } = await runner({ ok: true, sessions: [{ id: "ses_1" }] });
  expect(await tools.message_session.execute({ session: "ses_1", message: "Hello." }, CONTEXT)).toContain("ses_1");
  expect(await tools.end_session.execute({ session: "ses_1" }, CONTEXT)).toContain("ses_1");
  expect(requests.map(({ call }) => call.request)).toEqual([
    { action: "message", session: "ses_1", message: "Hello." },
    { action: "end", session: "ses_1" },
  ]);
});

test.each(Object.values(CHILD_SESSION_TOOLS))("README names %s", (name) => {
  const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  expect(readme).toContain(`\`${name}\``);
});

test("a refusal becomes an error for the agent", async () => {
  const refused: ChildSessionAnswer = { ok: false, error: "End one first." };
  const { tools } = await runner(ChildSessionAnswer.parse(refused));
  await expect(tools.spawn_session.execute({ prompt: "Count." }, CONTEXT)).rejects.toThrow("End one first.");
});

test.each([
  ["nonsense", (response: ServerResponse) => void response.end("<html>")],
  ["JSON of another shape", (response: ServerResponse) => void response.end('{"ok":"maybe"}')],
  ["a broken connection", (response: ServerResponse) => void response.destroy()],
  ["a redirect", (response: ServerResponse) => void response.writeHead(307, { location: "http://x.invalid/" }).end()],
])("%s counts as no answer", async (_what, respond) => {
  const { tools } = await runner({}, respond);
  await expect(tools.list_sessions.execute({}, CONTEXT)).rejects.toThrow(/^Valet/);
});

test("a missing answer, or an abort of the tool call, ends the request", async () => {
  const { access, tools, requests } = await runner({}, () => {});
  const call = { opencodeSessionId: "a", messageId: "b", callId: "c", request: { action: "list" as const } };
  await expect(askRunner(access, call, CONTEXT.abort, 20)).rejects.toThrow("does not answer");
  const abort = new AbortController();
  const aborted = tools.list_sessions.execute({}, { ...CONTEXT, abort: abort.signal });
  // The first call may or may not have arrived before it was aborted.
  const hasArrived = () => requests.some(({ call: { callId } }) => callId === CONTEXT.callID);
  await expect.poll(hasArrived, { timeout: 20_000 }).toBe(true);
  abort.abort();
  await expect(aborted).rejects.toThrow("aborted");
});

test("the runner's address and token are removed from the environment", () => {
  const env = { VALET_TOOLS_URL: "http://127.0.0.1:1/", VALET_TOOLS_SECRET: "secret", PATH: "/bin" };
  expect(readAccess(env)).toEqual({ url: "http://127.0.0.1:1/", secret: "secret" });
  expect(env).toEqual({ PATH: "/bin" });
  expect(readAccess(env)).toBeUndefined();
});

test("the list of variables that shells must not see is removed from the environment", () => {
  const env = { VALET_SECRET_VARIABLES: "A_KEY,OPENCODE_SERVER_PASSWORD", A_KEY: "secret" };
  expect(readHiddenVariables(env)).toStrictEqual({ A_KEY: undefined, OPENCODE_SERVER_PASSWORD: undefined });
  expect(env).toEqual({ A_KEY: "secret" });
  expect(readHiddenVariables({})).toEqual({});
});
