import { createRoute } from "@hono/zod-openapi";
import { CursorQuery, TraceId, TraceList, TraceView } from "@valet/shared/protocol/session-api";
import { z } from "zod";
import { agentOf, createRoutes } from "../http/context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../http/openapi.ts";
import { problem, unwrap } from "../http/problem.ts";

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
  request: { params: SessionParams.extend({ traceId: TraceId }) },
  responses: { 200: answer(TraceView, "The trace"), default: PROBLEM },
});
traces.openAPIRegistry.registerPath(showTrace);
traces.get(showTrace.getRoutingPath(), async (c) => {
  const traceId = TraceId.safeParse(c.req.param("traceId"));
  if (!traceId.success) throw problem("not-found", { detail: "a trace id has 32 lower-case hex digits" });
  return new Response(unwrap(await agentOf(c).readTrace(traceId.data)), {
    headers: { "content-type": "application/json" },
  });
});

const streamSpans = createRoute({
  method: "get",
  path: `${SESSION_PATH}/spans`,
  summary: "Streams every span that has ended, as lines of OTLP/JSON",
  request: { params: SessionParams },
  responses: {
    200: {
      description: "One `ExportTraceServiceRequest` a line",
      content: { "application/x-ndjson": { schema: z.string() } },
    },
    default: PROBLEM,
  },
});
traces.openAPIRegistry.registerPath(streamSpans);
traces.get(
  streamSpans.getRoutingPath(),
  async (c) => new Response(await agentOf(c).spans(), { headers: { "content-type": "application/x-ndjson" } }),
);
