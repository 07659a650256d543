import { createRoute } from "@hono/zod-openapi";
import { SessionView } from "@valet/shared/protocol/session-view";
import { agentOf, change, createRoutes } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";

export const deletion = createRoutes();

deletion.openapi(
  createRoute({
    method: "delete",
    path: SESSION_PATH,
    operationId: "deleteSession",
    summary: "Deletes the session, its sandbox, its files, its conversation and its traces, and its child sessions",
    description:
      "Idempotent, in whatever state the session is: its work ends at once. The deletion goes on after the answer (`deletion` in the " +
      "view) until the sandbox and its snapshots are gone and waiting spans have reached the backend, or cannot. From then on every " +
      "request that names the session is answered with 410 (`session-deleted`). The figures of its turns stay in the owner's statistics.",
    request: { params: SessionParams },
    responses: { 202: answer(SessionView, "The session; its deletion is in progress"), default: PROBLEM },
  }),
  async (c) => c.json(await change(c, 202, (ctx) => agentOf(c).deleteSession(ctx)), 202),
);
