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
    summary: "Lists the session's traces, newest first",
    request: { params: SessionParams, query: CursorQuery },
    responses: { 200: answer(TraceList, "A page of traces"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).traces(c.req.valid("query").cursor)), 200),
);

// These two routes pass on text from the session unchanged, so the router does not validate their answers.

const showTrace = createRoute({
  method: "get",
  path: `${SESSION_PATH}/traces/{traceId}`,
  summary: "Shows one trace as OTLP/JSON; an open span has no end time",
  description: "A trace of several pages has `nextCursor`; open spans are on the last page.",
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
  summary: "Streams all ended spans as lines of OTLP/JSON",
  description: "If there are more than a page holds, the last line has no spans and `nextCursor`.",
  request: { params: SessionParams, query: CursorQuery },
  responses: {
    200: {
      description: "One `ExportTraceServiceRequest` per line",
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

/** Returns the request's cursor. @throws ApiError for an invalid query */
function cursorOf(c: AppContext): string | undefined {
  const query = CursorQuery.safeParse(c.req.query());
  if (!query.success) throw invalidInput(query.error);
  // Checked before the stream begins, since it cannot be refused afterwards.
  if (query.data.cursor !== undefined) decodeCursor(query.data.cursor, 1);
  return query.data.cursor;
}
