import { createRoute } from "@hono/zod-openapi";
import { ResentSpans } from "@valet/shared/protocol/session-api";
import { agentOf, createRoutes } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const resend = createRoutes();

resend.openapi(
  createRoute({
    method: "post",
    path: `${SESSION_PATH}/resend`,
    operationId: "resendSpans",
    summary: "Sends the session's waiting spans to the backend now",
    description:
      "Also after the session has stopped retrying. Answers within a few seconds; the session continues to send the rest.",
    request: { params: SessionParams },
    responses: { 200: answer(ResentSpans, "The result"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).resend()), 200),
);
