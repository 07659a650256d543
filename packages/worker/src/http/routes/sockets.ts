import { createRoute } from "@hono/zod-openapi";
import { ClientEvent } from "@valet/shared/protocol/client-socket";
import { SessionId, SocketQuery } from "@valet/shared/protocol/session-api";
import { Hono } from "hono";
import { stubOf } from "../../bindings.ts";
import { findSession } from "../../database/deleted-sessions.ts";
import type { SessionCalls } from "../../durable-objects/contract.ts";
import { refuseStranger } from "../../durable-objects/link/runner-door.ts";
import { type AppContext, type AppEnv, agentOf, createRoutes } from "../context.ts";
import { isUpgrade, upgradeRequired } from "../middleware.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { invalidQuery } from "../problem.ts";

export const clientSocket = createRoutes();

// The router does not validate an answer that is a WebSocket.
const openSocket = createRoute({
  method: "get",
  path: `${SESSION_PATH}/ws`,
  operationId: "openSocket",
  summary: "WebSocket: changes of the session, its messages, turns and traces",
  description:
    "Use a ticket when you cannot send the token as a header. A long part of an answer is sent as additions " +
    '(`part-delta`). Answer `{"type":"sync","read":n}` with `{"type":"synced","read":n}`: a client that leaves ' +
    "2 MiB unread and the oldest question unanswered for 5 s is disconnected with the code 1013, and so is one with 8 MiB unread.",
  request: { params: SessionParams, query: SocketQuery },
  responses: {
    101: answer(ClientEvent, "No body: each text frame is one such event. The client sends `ping` and `ClientMessage`"),
    default: PROBLEM,
  },
});
clientSocket.openAPIRegistry.registerPath(openSocket);
clientSocket.get(openSocket.getRoutingPath(), async (c) => {
  const query = SocketQuery.safeParse(c.req.query());
  if (!query.success) throw invalidQuery(query.error);
  if (!isUpgrade(c)) throw upgradeRequired();
  return pass(c, agentOf(c), "/client");
});

/**
 * The runners' WebSocket. The session verifies its runner's token. Where there is none to ask, the answer is the one that it gives to a
 * stranger: without a token nobody learns which sessions there are or were.
 */
export const runnerSocket = new Hono<AppEnv>();

runnerSocket.get("/runner/:id", async (c) => {
  const id = SessionId.safeParse(c.req.param("id"));
  if (!isUpgrade(c)) throw upgradeRequired();
  const known = id.success ? await findSession(c.env.DB, id.data) : undefined;
  if (known === undefined || known.deletedAt !== undefined) return refuseStranger(c.req.raw);
  return pass(c, stubOf(c.env, known.id), "/runner");
});

function pass(c: AppContext, agent: SessionCalls, path: "/client" | "/runner"): Promise<Response> {
  return agent.fetch(new Request(new URL(path, c.req.url), { headers: c.req.raw.headers }));
}
