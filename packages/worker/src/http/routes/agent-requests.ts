import { createRoute } from "@hono/zod-openapi";
import { AgentRequestId, ReplyPermission, ReplyQuestion } from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { agentOf, callContext, createRoutes, speakFor } from "../context.ts";
import { answer, body, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

/** Answers to the agent's permission requests and questions. */
export const agentRequests = createRoutes();

const responses = { 202: answer(SessionView, "The session; the answer is being delivered"), default: PROBLEM };

agentRequests.openapi(
  createRoute({
    method: "post",
    path: `${SESSION_PATH}/permissions/{permissionId}`,
    operationId: "replyToPermission",
    summary: "Answers a permission request",
    request: {
      params: SessionParams.extend({ permissionId: AgentRequestId }),
      body: body(ReplyPermission, { reply: "once" }),
    },
    responses,
  }),
  async (c) => {
    const { permissionId } = c.req.valid("param");
    const { reply, ...asked } = c.req.valid("json");
    speakFor(c, asked);
    c.var.trace?.describe({ "valet.permission.id": permissionId });
    return c.json(unwrap(await agentOf(c).replyPermission(permissionId, reply, callContext(c))), 202);
  },
);

agentRequests.openapi(
  createRoute({
    method: "post",
    path: `${SESSION_PATH}/questions/{questionId}`,
    operationId: "replyToQuestion",
    summary: "Answers, or declines to answer, the agent's questions",
    request: {
      params: SessionParams.extend({ questionId: AgentRequestId }),
      body: body(ReplyQuestion, { answers: [["Yes"]] }),
    },
    responses,
  }),
  async (c) => {
    const { questionId } = c.req.valid("param");
    const { answers, ...asked } = c.req.valid("json");
    speakFor(c, asked);
    c.var.trace?.describe({ "valet.question.id": questionId });
    return c.json(unwrap(await agentOf(c).replyQuestion(questionId, answers, callContext(c))), 202);
  },
);
