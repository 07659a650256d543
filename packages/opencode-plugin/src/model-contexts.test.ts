/** The contexts of model calls, with a fake runner over real HTTP. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import type { ModelCallRef } from "@valet/shared/protocol/child-sessions";
import { expect, onTestFinished, test } from "vitest";
import { modelContexts } from "./model-contexts.ts";

const CONTEXT = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "a=b" };

/** @param reply the runner's answer; `undefined` makes it hang */
async function setUp({ reply }: { readonly reply: unknown } = { reply: CONTEXT }) {
  const requests: ModelCallRef[] = [];
  const server = createServer(async (request, response) => {
    requests.push(((await json(request)) as { modelCall: ModelCallRef }).modelCall);
    if (reply !== undefined) response.end(JSON.stringify(reply));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const contexts = modelContexts({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret: "s" });
  const answers = (id: string, parentID: string, role = "assistant") =>
    contexts.event({
      event: { type: "message.updated", properties: { info: { id, parentID, role, sessionID: "ses_1" } } },
    });
  const headersFor = async (userMessageId: string, sessionID = "ses_1") => {
    const output = { headers: {} as Record<string, string> };
    await contexts.headers({ sessionID, message: { id: userMessageId } }, output);
    return output.headers;
  };
  return { requests, answers, headersFor };
}

test("a request carries the context of the answer that it produces, on each retry and for each step", async () => {
  const { requests, answers, headersFor } = await setUp();
  await answers("msg_2", "msg_1");
  expect(await headersFor("msg_1")).toEqual(CONTEXT);
  expect(await headersFor("msg_1")).toEqual(CONTEXT);
  await answers("msg_3", "msg_1");
  await answers("msg_9", "", "user");
  await headersFor("msg_1");
  expect(requests.map(({ messageId }) => messageId)).toEqual(["msg_2", "msg_2", "msg_3"]);
  expect(requests[0]?.opencodeSessionId).toBe("ses_1");
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
  ["does not know the call", {}],
])("a runner that %s does not block the call", async (_what, reply) => {
  const { answers, headersFor } = await setUp({ reply });
  await answers("msg_2", "msg_1");
  expect(await headersFor("msg_1")).toEqual({});
});
