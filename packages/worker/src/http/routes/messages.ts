import { createRoute } from "@hono/zod-openapi";
import {
  AcceptedMessage,
  ClearedQueue,
  MessageId,
  MessageList,
  MessagesQuery,
  SendMessage,
  UserQuery,
} from "@valet/shared/protocol/session-api";
import { MessageView } from "@valet/shared/protocol/session-view";
import { agentOf, change, createRoutes, speakFor } from "../context.ts";
import { answer, body, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const messages = createRoutes();

messages.openapi(
  createRoute({
    method: "post",
    path: `${SESSION_PATH}/messages`,
    operationId: "sendMessage",
    summary: "Sends a message",
    description:
      "A known `id` returns the existing message if it was sent with the same content; otherwise it is refused (409).",
    request: {
      params: SessionParams,
      body: body(SendMessage, { content: "Why does the build fail?", queueMode: "followup" }),
    },
    responses: { 202: answer(AcceptedMessage, "The message was accepted"), default: PROBLEM },
  }),
  async (c) => {
    const input = c.req.valid("json");
    speakFor(c, input);
    return c.json(await change(c, 202, (ctx) => agentOf(c).sendMessage(input, ctx)), 202);
  },
);

messages.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/messages`,
    operationId: "listMessages",
    summary: "Lists the messages of the conversation, oldest or newest first",
    description:
      "A cursor continues in the order of its list; new messages do not change older pages. Two lists `from` a message, one in each order, " +
      "show what is around it.",
    request: { params: SessionParams, query: MessagesQuery },
    responses: { 200: answer(MessageList, "A page of messages with the agent's answers"), default: PROBLEM },
  }),
  async (c) => {
    const { cursor, order, from } = c.req.valid("query");
    return c.json(unwrap(await agentOf(c).messages(cursor, order, from)), 200);
  },
);

messages.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/messages/{messageId}`,
    operationId: "getMessage",
    summary: "Shows a message with the agent's answer",
    request: { params: SessionParams.extend({ messageId: MessageId }) },
    responses: { 200: answer(MessageView, "The message"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).message(c.req.valid("param").messageId)), 200),
);

messages.openapi(
  createRoute({
    method: "delete",
    path: `${SESSION_PATH}/messages/{messageId}`,
    operationId: "withdrawMessage",
    summary: "Withdraws a queued message",
    description: "Idempotent. A message that is no longer queued is refused (409): abort the session's work instead.",
    request: { params: SessionParams.extend({ messageId: MessageId }), query: UserQuery },
    responses: { 200: answer(MessageView, "The message"), default: PROBLEM },
  }),
  async (c) => {
    const { messageId } = c.req.valid("param");
    speakFor(c, c.req.valid("query"));
    c.var.trace?.describe({ "valet.message.id": messageId });
    return c.json(await change(c, 200, (ctx) => agentOf(c).withdraw(messageId, ctx)), 200);
  },
);

messages.openapi(
  createRoute({
    method: "delete",
    path: `${SESSION_PATH}/queue`,
    operationId: "clearQueue",
    summary: "Withdraws all queued messages and workflows",
    request: { params: SessionParams, query: UserQuery },
    responses: { 200: answer(ClearedQueue, "How many were withdrawn"), default: PROBLEM },
  }),
  async (c) => {
    speakFor(c, c.req.valid("query"));
    return c.json(await change(c, 200, (ctx) => agentOf(c).clearQueue(ctx)), 200);
  },
);
