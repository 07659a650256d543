import { createRoute } from "@hono/zod-openapi";
import { FoundIds, FoundIdsQuery, MAX_FOUND_IDS } from "@valet/shared/protocol/found-ids";
import { findSessionIds } from "../../database/sessions.ts";
import { agentOf, createRoutes } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const ids = createRoutes();

const DESCRIPTION =
  "For people, who give ids by their beginning: whether it is unique, and otherwise what it may stand for. It lags like the lists.";

ids.openapi(
  createRoute({
    method: "get",
    path: "/api/ids",
    operationId: "findSessionIds",
    summary: "Finds your sessions whose ids begin with a text",
    description: DESCRIPTION,
    request: { query: FoundIdsQuery },
    responses: { 200: answer(FoundIds, "The sessions' ids"), default: PROBLEM },
  }),
  async (c) => {
    // One more than the answer names shows that there are more.
    const found = await findSessionIds(c.env.DB, c.var.ownerId, c.req.valid("query").prefix, MAX_FOUND_IDS + 1);
    return c.json({ ids: found.slice(0, MAX_FOUND_IDS), hasMore: found.length > MAX_FOUND_IDS }, 200);
  },
);

ids.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/ids`,
    operationId: "findIds",
    summary: "Finds the session's messages, workflows, turns and traces whose ids begin with a text",
    description: DESCRIPTION,
    request: { params: SessionParams, query: FoundIdsQuery },
    responses: { 200: answer(FoundIds, "The ids"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).findIds(c.req.valid("query").prefix)), 200),
);
