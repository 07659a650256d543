import { createRoute } from "@hono/zod-openapi";
import { Health } from "@valet/shared/protocol/session-api";
import { createRoutes } from "../http/context.ts";
import { answer } from "../http/openapi.ts";

export const health = createRoutes();

health.openapi(
  createRoute({
    method: "get",
    path: "/api/health",
    summary: "Whether the Worker serves",
    security: [],
    responses: { 200: answer(Health, "It does") },
  }),
  (c) => c.json({ status: "ok" as const }, 200),
);
