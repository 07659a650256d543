import { createRoute } from "@hono/zod-openapi";
import { ExecutionId, MessageId } from "@valet/shared/protocol/session-api";
import { WhyView } from "@valet/shared/protocol/why";
import { agentOf, createRoutes } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const why = createRoutes();

const DESCRIPTION =
  "The wall time from acceptance to the outcome (or to now) in parts that add up exactly, along the critical path; the money by " +
  "model and agent, and what of it was avoidable; and the first cause of a failure. Waits for another message or for the sandbox have " +
  "the parts of what was waited for. `sessions` has what child sessions did for it, or why they could not be asked.";

why.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/messages/{messageId}/why`,
    operationId: "explainMessage",
    summary: "Says where the time and the money of a message went, and why it failed",
    description: DESCRIPTION,
    request: { params: SessionParams.extend({ messageId: MessageId }) },
    responses: { 200: answer(WhyView, "The answer"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).why("message", c.req.valid("param").messageId)), 200),
);

why.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/workflows/{executionId}/why`,
    operationId: "explainWorkflow",
    summary: "Says where the time and the money of a workflow's execution went, and why it failed",
    description: DESCRIPTION,
    request: { params: SessionParams.extend({ executionId: ExecutionId }) },
    responses: { 200: answer(WhyView, "The answer"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).why("workflow", c.req.valid("param").executionId)), 200),
);
