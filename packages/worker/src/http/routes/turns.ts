import { createRoute } from "@hono/zod-openapi";
import { CursorQuery, TurnList } from "@valet/shared/protocol/session-api";
import { agentOf, createRoutes } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const turns = createRoutes();

turns.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/turns`,
    operationId: "listTurns",
    summary: "Lists the session's finished turns, one wide record each, oldest first",
    request: { params: SessionParams, query: CursorQuery },
    responses: { 200: answer(TurnList, "A page of turns"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).turns(c.req.valid("query").cursor)), 200),
);
