import { AcceptedMessage, MessageList } from "@valet/shared/protocol/session-api";
import { MessageView } from "@valet/shared/protocol/session-view";
import { beforeEach, describe, expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";

// This session's sandbox never becomes ready, so its messages wait.
let token: string;
let session: string;
beforeEach(async () => {
  token = await signIn();
  session = `/api/sessions/${(await createSession(token)).id}`;
});

async function send(body: object): Promise<AcceptedMessage> {
  const response = await call("POST", `${session}/messages`, { token, body });
  expect(response.status).toBe(202);
  return AcceptedMessage.parse(await response.json());
}

async function conversation(): Promise<MessageView[]> {
  const seen: MessageView[] = [];
  let cursor: string | undefined;
  do {
    const query = cursor === undefined ? "" : `?cursor=${cursor}`;
    const response = await call("GET", `${session}/messages${query}`, { token });
    const page = MessageList.parse(await response.json());
    seen.push(...page.messages);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return seen;
}

describe("a message", () => {
  test("is stored with all its fields when it is accepted", async () => {
    const body = {
      content: "Grüße 👋",
      model: "a/b",
      channel: "review",
      threadId: "t1",
      replyChannel: "r1",
      queueMode: "steer",
      attachments: [{ filename: "a.txt", mediaType: "text/plain", url: "data:text/plain,hello" }],
    };
    const accepted = await send({ ...body, models: ["a/b", "c/d"] });
    expect(accepted).toMatchObject({ status: "queued", traceId: expect.stringMatching(/^[0-9a-f]{32}$/) });
    const { messageId: id, traceId } = accepted;
    const attachments = [{ filename: "a.txt", mediaType: "text/plain" }];
    expect(await conversation()).toMatchObject([{ ...body, id, traceId, status: "queued", attachments, parts: [] }]);
  });

  test("has a trace of its own", async () => {
    const [first, second] = [await send({ content: "a" }), await send({ content: "b" })];
    expect(first.traceId).not.toBe(second.traceId);
  });

  test("with a known id returns the existing message", async () => {
    const body = { content: "once", id: "github:delivery-1" };
    const answers = await Promise.all([send(body), send(body), send(body)]);
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    const other = await call("POST", `${session}/messages`, { token, body: { ...body, content: "other" } });
    expect(other.status).toBe(409);
    expect(await other.json()).toMatchObject({ type: "urn:valet:problem:id-taken" });
    expect(await conversation()).toMatchObject([{ id: body.id, content: "once" }]);
  });

  test("of the session's first prompt is a normal message", async () => {
    const { id } = await createSession(token, { prompt: "Begin" });
    session = `/api/sessions/${id}`;
    expect(await conversation()).toMatchObject([{ content: "Begin" }]);
  });

  test.each([
    ["content", { content: "" }],
    ["content", { content: "x".repeat(200_001) }],
    ["content", { content: ["x"] }],
    ["content", {}],
    ["id", { content: "x", id: "a b" }],
    ["id", { content: "x", id: "x".repeat(129) }],
    ["model", { content: "x", model: "a b" }],
    ["channel", { content: "x", channel: "x".repeat(129) }],
    ["attachments", { content: "x", attachments: Array(21).fill({ filename: "a", mediaType: "b", url: "data:," }) }],
    ["attachments", { content: "x", attachments: [{ filename: "a", mediaType: "b", url: "file:///etc/passwd" }] }],
  ])("is refused for its %s", async (field, body) => {
    const response = await call("POST", `${session}/messages`, { token, body });
    expect(response.status).toBe(400);
    const { errors } = (await response.json()) as { errors: { path: string }[] };
    expect(errors.map(({ path }) => path.split(".")[0])).toEqual([field]);
    expect(await conversation()).toEqual([]);
  });
});

describe("the queue", () => {
  test("withdraws a message, idempotently", async () => {
    const { messageId } = await send({ content: "a" });
    for (const _ of [1, 2]) {
      const response = await call("DELETE", `${session}/messages/${messageId}`, { token });
      expect(response.status).toBe(200);
      const view = MessageView.parse(await response.json());
      expect(view).toMatchObject({ id: messageId, status: "done", outcome: "aborted", outcomeReason: "withdrawn" });
    }
    const unknown = await call("DELETE", `${session}/messages/msg_0`, { token });
    expect(unknown.status).toBe(404);
  });

  test("is cleared completely", async () => {
    await send({ content: "a" });
    await send({ content: "b" });
    const first = await call("DELETE", `${session}/queue`, { token });
    expect(await first.json()).toEqual({ withdrawn: 2 });
    expect(await (await call("DELETE", `${session}/queue`, { token })).json()).toEqual({ withdrawn: 0 });
    expect((await conversation()).map(({ outcome }) => outcome)).toEqual(["aborted", "aborted"]);
  });

  test("is listed completely, page by page", async () => {
    const contents = Array.from({ length: 105 }, (_, n) => `message ${n}`);
    for (const content of contents) await send({ content });
    expect((await conversation()).map(({ content }) => content)).toEqual(contents);
  });
});

describe("one message", () => {
  const read = async (path: string) => call("GET", `${session}/messages${path}`, { token });
  const idsOf = async (query: string) => {
    const { messages, nextCursor } = MessageList.parse(await (await read(query)).json());
    return { ids: messages.map(({ id }) => id), nextCursor };
  };

  test("is shown as the list shows it", async () => {
    for (const id of ["one", "two"]) await send({ id, content: id });
    const shown = MessageView.parse(await (await read("/two")).json());
    expect(shown).toEqual((await conversation()).at(-1));
    expect(await (await read("/three")).json()).toMatchObject({ type: "urn:valet:problem:message-not-found" });
    expect((await call("GET", `${session}/messages/two`, { token: await signIn() })).status).toBe(404);
  });

  test("is where a list begins, in either order, and its cursor goes on from there", async () => {
    const ids = Array.from({ length: 70 }, (_, index) => `m${index}`);
    for (const id of ids) await send({ id, content: id });
    const newer = await idsOf("?from=m10");
    const older = await idsOf("?from=m10&order=desc");
    expect(newer.ids).toEqual(ids.slice(10, 60));
    expect(older).toEqual({ ids: ids.slice(0, 11).toReversed(), nextCursor: undefined });
    expect((await idsOf(`?cursor=${newer.nextCursor}`)).ids).toEqual(ids.slice(60));
    const back = await idsOf("?from=m60&order=desc");
    expect((await idsOf(`?cursor=${back.nextCursor}`)).ids).toEqual(ids.slice(0, 11).toReversed());
    expect((await read("?from=unknown")).status).toBe(404);
    expect((await read(`?from=m10&cursor=${newer.nextCursor}`)).status).toBe(400);
  });
});
