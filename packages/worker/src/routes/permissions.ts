import { createRoute } from "@hono/zod-openapi";
import { PermissionId, ReplyPermission } from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { agentOf, callContext, createRoutes } from "../http/context.ts";
import { answer, body, PROBLEM, SESSION_PATH, SessionParams } from "../http/openapi.ts";
import { unwrap } from "../http/problem.ts";

export const permissions = createRoutes();

permissions.openapi(
  createRoute({
    method: "post",
    path: `${SESSION_PATH}/permissions/{permissionId}`,
    summary: "Answers a request for leave that the agent waits on",
    request: { params: SessionParams.extend({ permissionId: PermissionId }), body: body(ReplyPermission) },
    responses: { 202: answer(SessionView, "The answer is on its way"), default: PROBLEM },
  }),
  async (c) => {
    const { permissionId } = c.req.valid("param");
    const { reply } = c.req.valid("json");
    return c.json(unwrap(await agentOf(c).replyPermission(permissionId, reply, callContext(c))), 202);
  },
);
