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
    summary: "Sends the session's spans that wait to the backend, now",
    description:
      "Also where the session has given up. Answers after some seconds at the most; what is left then goes on.",
    request: { params: SessionParams },
    responses: { 200: answer(ResentSpans, "What came of it"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).resend()), 200),
);
