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

test("the same id is asked once, and all who ask are answered", async () => {
  const { sent, requests } = setUp();
  const asking = [requests.ask(REQUEST, never), requests.ask(REQUEST, never)];
  expect(sent).toEqual([{ type: "child-session-request", ...REQUEST }]);
  requests.answered("req_1", ANSWER);
  expect(await Promise.all(asking)).toEqual([ANSWER, ANSWER]);
  requests.resend();
  expect(sent).toHaveLength(1);
});

test("without an answer the asking ends in time, and what comes then is of no interest", async () => {
  const { sent, requests } = setUp(10);
  expect(await requests.ask(REQUEST, never)).toMatchObject({ ok: false });
  requests.answered("req_1", ANSWER);
  requests.resend();
  expect(sent).toHaveLength(1);
});

test("whoever gives up asks no more, others of the same id do", async () => {
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
