import { createRoute, z } from "@hono/zod-openapi";
import { Health } from "@valet/shared/protocol/session-api";
import { countExportProblems } from "../../database/sessions.ts";
import { isBeforeMigrations, logFailure } from "../../log-failure.ts";
import { createRoutes } from "../context.ts";
import { answer } from "../openapi.ts";
import { isStorageFull, isStorageLost } from "../storage-full.ts";

export const health = createRoutes();

health.openapi(
  createRoute({
    method: "get",
    path: "/api/health",
    operationId: "getHealth",
    summary: "Says whether the Worker serves requests, and whether spans reach the backend",
    security: [],
    // Monitors add parameters of their own, against caches.
    request: { query: z.looseObject({}) },
    responses: { 200: answer(Health, "The Worker serves requests") },
  }),
  async (c) => {
    try {
      return c.json({ status: "ok" as const, export: await countExportProblems(c.env.DB) }, 200);
    } catch (error) {
      if (isBeforeMigrations(error)) return c.json({ status: "ok" as const }, 200);
      const isFull = isStorageFull(error) || isStorageLost(error);
      logFailure(isFull ? NO_ROOM : "the database cannot be read", error);
      return c.json({ status: "ok" as const, database: isFull ? ("full" as const) : ("unavailable" as const) }, 200);
    }
  },
);

/** `up` recognizes this sentence (worker-lines.ts). */
const NO_ROOM = "the database cannot be read because the disk or the database is full";
