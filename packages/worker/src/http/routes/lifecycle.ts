import { createRoute } from "@hono/zod-openapi";
import { UserQuery } from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { agentOf, change, createRoutes, speakFor } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";

export const lifecycle = createRoutes();

const SUMMARIES = {
  hibernate: "Hibernates the session: its files are kept, its sandbox ends",
  wake: "Wakes the session",
  abort: "Aborts the current work; queued messages stay",
  terminate: "Terminates the session permanently",
} as const;

const DESCRIPTIONS = {
  hibernate: "Idempotent. Refused (409) while a turn is running, and while the session's state does not allow it.",
  wake: "Idempotent. Refused (409) once the session is being terminated.",
  abort: "Idempotent.",
  terminate: "Idempotent.",
} as const;

for (const action of ["hibernate", "wake", "abort", "terminate"] as const) {
  lifecycle.openapi(
    createRoute({
      method: "post",
      path: `${SESSION_PATH}/${action}`,
      operationId: `${action}Session`,
      summary: SUMMARIES[action],
      description: DESCRIPTIONS[action],
      request: { params: SessionParams, query: UserQuery },
      responses: { 202: answer(SessionView, "The session; the change is in progress"), default: PROBLEM },
    }),
    async (c) => {
      speakFor(c, c.req.valid("query"));
      return c.json(await change(c, 202, (ctx) => agentOf(c)[action](ctx)), 202);
    },
  );
}
