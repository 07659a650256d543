import { createRoute } from "@hono/zod-openapi";
import { CursorQuery, TraceId, TraceList, TraceView } from "@valet/shared/protocol/session-api";
import { z } from "zod";
import { type AppContext, agentOf, createRoutes } from "../context.ts";
import { decodeCursor } from "../cursor.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { invalidInput, problem, unwrap } from "../problem.ts";

export const traces = createRoutes();

traces.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/traces`,
    summary: "Lists the session's traces, the newest first",
    request: { params: SessionParams, query: CursorQuery },
    responses: { 200: answer(TraceList, "A page of traces"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).traces(c.req.valid("query").cursor)), 200),
);

// These two give out text that the session has made, as it stands: there is nothing for the router to check.

const showTrace = createRoute({
  method: "get",
  path: `${SESSION_PATH}/traces/{traceId}`,
  summary: "Shows one trace as OTLP/JSON; a span that has not ended has no end",
  description: "A trace that fills more than one page has `nextCursor`; open spans are on the last page.",
  request: { params: SessionParams.extend({ traceId: TraceId }), query: CursorQuery },
  responses: { 200: answer(TraceView, "The trace, or a page of it"), default: PROBLEM },
});
traces.openAPIRegistry.registerPath(showTrace);
traces.get(showTrace.getRoutingPath(), async (c) => {
  const traceId = TraceId.safeParse(c.req.param("traceId"));
  if (!traceId.success) throw problem("not-found", { detail: "a trace id has 32 lower-case hex digits" });
  return new Response(unwrap(await agentOf(c).readTrace(traceId.data, cursorOf(c))), {
    headers: { "content-type": "application/json" },
  });
});

const streamSpans = createRoute({
  method: "get",
  path: `${SESSION_PATH}/spans`,
  summary: "Streams every span that has ended, as lines of OTLP/JSON",
  description: "Where there are more than one page holds, the last line has no spans and `nextCursor`.",
  request: { params: SessionParams, query: CursorQuery },
  responses: {
    200: {
      description: "One `ExportTraceServiceRequest` a line",
      content: { "application/x-ndjson": { schema: z.string() } },
    },
    default: PROBLEM,
  },
});
traces.openAPIRegistry.registerPath(streamSpans);
traces.get(streamSpans.getRoutingPath(), async (c) => {
  const spans = await agentOf(c).spans(cursorOf(c));
  return new Response(spans, { headers: { "content-type": "application/x-ndjson" } });
});

/** @throws ApiError where the query is not one of these routes' */
function cursorOf(c: AppContext): string | undefined {
  const query = CursorQuery.safeParse(c.req.query());
  if (!query.success) throw invalidInput(query.error);
  // Checked here, since a stream that has begun cannot be refused.
  if (query.data.cursor !== undefined) decodeCursor(query.data.cursor, 1);
  return query.data.cursor;
}
