import { createRoute } from "@hono/zod-openapi";
import { Health } from "@valet/shared/protocol/session-api";
import { countExportProblems } from "../../database/sessions.ts";
import { logFailure } from "../../log-failure.ts";
import { createRoutes } from "../context.ts";
import { answer } from "../openapi.ts";

export const health = createRoutes();

health.openapi(
  createRoute({
    method: "get",
    path: "/api/health",
    summary: "Says whether the Worker serves requests, and whether spans reach the backend",
    security: [],
    responses: { 200: answer(Health, "The Worker serves requests") },
  }),
  async (c) => {
    const problems = await countExportProblems(c.env.DB).catch((error: unknown) => {
      if (!isBeforeMigrations(error)) logFailure("the export state cannot be read", error);
    });
    return c.json({ status: "ok" as const, ...(problems !== undefined && { export: problems }) }, 200);
  },
);

/**
 * Returns whether the database has no schema yet, or an older one: a start or a deployment is in progress, which is not
 * an error.
 */
function isBeforeMigrations(error: unknown): boolean {
  return /\bno such (?:table|column)\b/.test(String((error as Error)?.message));
}
