import { createRoute } from "@hono/zod-openapi";
import { CertificateQuery, MessageCertificate, TraceCertificate } from "@valet/shared/protocol/certificate";
import {
  BacklinkList,
  CursorQuery,
  FoundSpans,
  MessageId,
  SkeletonQuery,
  SpanId,
  TraceId,
  TraceList,
  TraceSearchQuery,
  TraceView,
} from "@valet/shared/protocol/session-api";
import { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { z } from "zod";
import { traceUrlTemplate } from "../../config.ts";
import { type AppContext, agentOf, createRoutes, NO_QUERY } from "../context.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { invalidQuery, problem, unwrap } from "../problem.ts";

export const traces = createRoutes();

const TraceParams = SessionParams.extend({ traceId: TraceId });

traces.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/traces`,
    operationId: "listTraces",
    summary: "Lists the session's traces, newest first",
    request: { params: SessionParams, query: CursorQuery },
    responses: { 200: answer(TraceList, "A page of traces"), default: PROBLEM },
  }),
  async (c) => {
    const list = unwrap(await agentOf(c).traces(c.req.valid("query").cursor));
    const urlTemplate = traceUrlTemplate(c.env);
    return c.json(urlTemplate === undefined ? list : { ...list, urlTemplate }, 200);
  },
);

// These routes pass on text from the session unchanged, so the router does not validate their answers.

const showTrace = createRoute({
  method: "get",
  path: `${SESSION_PATH}/traces/{traceId}`,
  operationId: "getTrace",
  summary: "Shows one trace as OTLP/JSON; an open span has no end time",
  description: "A trace of several pages has `nextCursor`; open spans are on the last page.",
  request: { params: TraceParams, query: CursorQuery },
  responses: { 200: answer(TraceView, "The trace, or a page of it"), default: PROBLEM },
});
traces.openAPIRegistry.registerPath(showTrace);
traces.get(showTrace.getRoutingPath(), async (c) => {
  return new Response(unwrap(await agentOf(c).readTrace(traceIdOf(c), cursorOf(c))), {
    headers: { "content-type": "application/json" },
  });
});

const showSkeleton = createRoute({
  method: "get",
  path: `${SESSION_PATH}/traces/{traceId}/skeleton`,
  operationId: "getTraceSkeleton",
  summary: "Shows the skeleton of one trace: its spans without attributes and events",
  description:
    "About 25 bytes a span, in columns; `decodeSkeleton` of `@valet/shared` reads them. Numbers marked VLQ are written as in source " +
    "maps (ECMA-426): base64 digits of 5 bits. A span that is in several chunks has changed; the last one counts. The answer has an " +
    "`ETag`; with `If-None-Match` an unchanged skeleton is answered with 304.",
  request: { params: TraceParams, query: SkeletonQuery },
  responses: {
    200: answer(TraceSkeleton, "The skeleton, or a page of it"),
    304: { description: "It has not changed" },
    default: PROBLEM,
  },
});
traces.openAPIRegistry.registerPath(showSkeleton);
traces.get(showSkeleton.getRoutingPath(), async (c) => {
  const query = SkeletonQuery.safeParse(c.req.query());
  if (!query.success) throw invalidQuery(query.error);
  // RFC 9110, section 13.1.2: a list of tags, which are compared weakly.
  const known = (c.req.header("if-none-match") ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  const { etag, text } = unwrap(await agentOf(c).readSkeleton(traceIdOf(c), query.data.after, known));
  if (text === undefined) return new Response(null, { status: 304, headers: { etag } });
  return new Response(text, { headers: { "content-type": "application/json", etag } });
});

const showSpan = createRoute({
  method: "get",
  path: `${SESSION_PATH}/traces/{traceId}/spans/{spanId}`,
  operationId: "getSpan",
  summary: "Shows one span as OTLP/JSON; an open span has no end time",
  request: { params: TraceParams.extend({ spanId: SpanId }) },
  responses: { 200: answer(TraceView, "The span"), default: PROBLEM },
});
traces.openAPIRegistry.registerPath(showSpan);
traces.get(showSpan.getRoutingPath(), async (c) => {
  const spanId = SpanId.safeParse(c.req.param("spanId"));
  if (!spanId.success) throw problem("not-found", { detail: "a span id has 16 lower-case hex digits" });
  const query = NO_QUERY.safeParse(c.req.query());
  if (!query.success) throw invalidQuery(query.error);
  const text = unwrap(await agentOf(c).readSpan(traceIdOf(c), spanId.data));
  return new Response(text, { headers: { "content-type": "application/json" } });
});

traces.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/traces/{traceId}/search`,
    operationId: "searchTrace",
    summary: "Searches the names and attributes of a trace's spans",
    description: "A page covers some 16 MB of spans, so it may find none and still have `nextCursor`.",
    request: { params: TraceParams, query: TraceSearchQuery },
    responses: { 200: answer(FoundSpans, "A page of span ids"), default: PROBLEM },
  }),
  async (c) => {
    const { q, cursor } = c.req.valid("query");
    const { traceId } = c.req.valid("param");
    return c.json(unwrap(await agentOf(c).searchTrace(traceId, q, cursor)), 200);
  },
);

traces.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/traces/{traceId}/backlinks`,
    operationId: "listBacklinks",
    summary: "Lists the session's spans that link to spans of a trace, open or ended, of any age",
    description:
      "Links of a trace's own spans are among them. Spans of other sessions are not: those sessions have them. A page may have few links " +
      "or none and still have `nextCursor`, since it covers a bounded part of the spans that an earlier version has stored.",
    request: { params: TraceParams, query: CursorQuery },
    responses: { 200: answer(BacklinkList, "A page of links, those that were stored first first"), default: PROBLEM },
  }),
  async (c) => {
    const { traceId } = c.req.valid("param");
    return c.json(unwrap(await agentOf(c).readBacklinks(traceId, c.req.valid("query").cursor)), 200);
  },
);

const CERTIFICATE =
  "Counts sets of span ids: what the session has heard of, announced or received, and what became of each. What a process that was " +
  "killed began after its last frame is known to nobody; `sealed` says since when.";

traces.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/traces/{traceId}/certificate`,
    operationId: "certifyTrace",
    summary: "Says what became of each span of a trace",
    description: `${CERTIFICATE} It outlives the trace in the session's store.`,
    request: { params: TraceParams, query: CertificateQuery },
    responses: { 200: answer(TraceCertificate, "The certificate"), default: PROBLEM },
  }),
  async (c) => {
    const withIds = c.req.valid("query").spanIds === "true";
    return c.json(unwrap(await agentOf(c).certifyTrace(c.req.valid("param").traceId, withIds)), 200);
  },
);

traces.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/messages/{messageId}/certificate`,
    operationId: "certifyMessage",
    summary: "Says what became of each span of a message",
    description: CERTIFICATE,
    request: { params: SessionParams.extend({ messageId: MessageId }) },
    responses: { 200: answer(MessageCertificate, "The certificate"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).certifyMessage(c.req.valid("param").messageId)), 200),
);

const streamSpans = createRoute({
  method: "get",
  path: `${SESSION_PATH}/spans`,
  operationId: "streamSpans",
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
  const spans = unwrap(await agentOf(c).spans(cursorOf(c)));
  return new Response(spans, { headers: { "content-type": "application/x-ndjson" } });
});

/** @throws ApiError for a path that names no trace */
function traceIdOf(c: AppContext): string {
  const traceId = TraceId.safeParse(c.req.param("traceId"));
  if (!traceId.success) throw problem("not-found", { detail: "a trace id has 32 lower-case hex digits" });
  return traceId.data;
}

/** Returns the request's cursor. @throws ApiError for an invalid query */
function cursorOf(c: AppContext): string | undefined {
  const query = CursorQuery.safeParse(c.req.query());
  if (!query.success) throw invalidQuery(query.error);
  return query.data.cursor;
}
