import { createRoute } from "@hono/zod-openapi";
import { SessionView } from "@valet/shared/protocol/session-view";
import { agentOf, callContext, createRoutes } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const lifecycle = createRoutes();

const SUMMARIES = {
  hibernate: "Puts the session to sleep: its workspace is kept, its sandbox ends",
  wake: "Wakes the session",
  abort: "Ends what the agent works on; queued messages stay",
  terminate: "Ends the session for good",
} as const;

for (const action of ["hibernate", "wake", "abort", "terminate"] as const) {
  lifecycle.openapi(
    createRoute({
      method: "post",
      path: `${SESSION_PATH}/${action}`,
      summary: SUMMARIES[action],
      description: "Asked for again, it changes nothing.",
      request: { params: SessionParams },
      responses: { 202: answer(SessionView, "The session; what was asked for is under way"), default: PROBLEM },
    }),
    async (c) => c.json(unwrap(await agentOf(c)[action](callContext(c))), 202),
  );
}
