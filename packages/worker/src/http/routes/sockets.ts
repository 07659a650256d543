import { createRoute } from "@hono/zod-openapi";
import { SessionId, SocketQuery } from "@valet/shared/protocol/session-api";
import { Hono } from "hono";
import { stubOf } from "../../bindings.ts";
import { sessionExists } from "../../database/sessions.ts";
import type { SessionCalls } from "../../durable-objects/contract.ts";
import { type AppContext, type AppEnv, agentOf, createRoutes } from "../context.ts";
import { isUpgrade, upgradeRequired } from "../middleware.ts";
import { PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { problem } from "../problem.ts";

export const clientSocket = createRoutes();

clientSocket.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/ws`,
    summary: "WebSocket: the session, its messages, turns and traces, as they change",
    description:
      "Opened with a ticket where a token cannot be sent as a header. A long part of an answer is told by what is added to it " +
      '(`part-delta`). Answer `{"type":"sync","read":n}` with `{"type":"synced","read":n}`: a client of which 2 MiB are unread ' +
      "is closed with the code 1013.",
    request: { params: SessionParams, query: SocketQuery },
    responses: { 101: { description: "Events, one JSON object a frame" }, default: PROBLEM },
  }),
  async (c) => {
    if (!isUpgrade(c)) throw upgradeRequired();
    return pass(c, agentOf(c), "/client");
  },
);

/** Where runners connect. The session knows its runner's token; here it only matters that there is such a session. */
export const runnerSocket = new Hono<AppEnv>();

runnerSocket.get("/runner/:id", async (c) => {
  const id = SessionId.safeParse(c.req.param("id"));
  if (!isUpgrade(c)) throw upgradeRequired();
  if (!id.success || !(await sessionExists(c.env.DB, id.data))) throw problem("session-not-found");
  return pass(c, stubOf(c.env, id.data), "/runner");
});

function pass(c: AppContext, agent: SessionCalls, path: "/client" | "/runner"): Promise<Response> {
  return agent.fetch(new Request(new URL(path, c.req.url), { headers: c.req.raw.headers }));
}
