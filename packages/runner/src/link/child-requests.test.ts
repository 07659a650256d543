import type { FromRunner } from "@valet/shared/protocol/runner-link";
import { expect, test } from "vitest";
import { type ChildRequest, ChildRequests } from "./child-requests.ts";

const REQUEST: ChildRequest = { requestId: "req_1", request: { action: "list" } };
const ANSWER = { ok: true as const, sessions: [] };
const never = new AbortController().signal;

function setUp(timeoutMs?: number) {
  const sent: FromRunner[] = [];
  return { sent, requests: new ChildRequests((frame) => sent.push(frame), timeoutMs) };
}

test("concurrent requests with the same id are sent once, and all receive the answer", async () => {
  const { sent, requests } = setUp();
  const asking = [requests.ask(REQUEST, never), requests.ask(REQUEST, never)];
  expect(sent).toEqual([{ type: "child-session-request", ...REQUEST }]);
  requests.answered("req_1", ANSWER);
  expect(await Promise.all(asking)).toEqual([ANSWER, ANSWER]);
  requests.resend();
  expect(sent).toHaveLength(1);
});

test("a request without an answer ends after the timeout, and a later answer is ignored", async () => {
  const { sent, requests } = setUp(10);
  expect(await requests.ask(REQUEST, never)).toMatchObject({ ok: false });
  requests.answered("req_1", ANSWER);
  requests.resend();
  expect(sent).toHaveLength(1);
});

test("an aborted request is not resent, unless others with the same id still wait", async () => {
  const { sent, requests } = setUp();
  const abort = new AbortController();
  const [given, kept] = [requests.ask(REQUEST, abort.signal), requests.ask(REQUEST, never)];
  abort.abort();
  expect(await given).toMatchObject({ ok: false });
  requests.resend();
  expect(sent).toHaveLength(2);
  requests.answered("req_1", ANSWER);
  expect(await kept).toEqual(ANSWER);
  expect(await requests.ask({ ...REQUEST, requestId: "req_2" }, AbortSignal.abort())).toMatchObject({ ok: false });
});
