/** The traces of a session: their list, spans with attributes, and what a search finds. Skeletons: `skeletons.ts`. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";

export function tracesQuery(sessionId: string) {
  return infiniteQueryOptions({
    queryKey: ["sessions", sessionId, "traces"],
    queryFn: ({ pageParam, signal }) => {
      const query = pageParam === "" ? {} : { cursor: pageParam };
      return ok(api.GET("/api/sessions/{id}/traces", { params: { path: { id: sessionId }, query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: ({ nextCursor }) => nextCursor,
    refetchInterval: 10_000,
  });
}

/** All spans of a trace, with attributes and events. For traces of a few hundred spans. @param everyMs how often to read it anew */
export function otlpQuery(sessionId: string, traceId: string, isWanted: boolean, everyMs: number | false) {
  return queryOptions({
    // What ended since is in another answer than what was open.
    queryKey: ["sessions", sessionId, "otlp", traceId, everyMs === false],
    queryFn: async ({ signal }) => {
      const groups: Schemas["TraceView"]["resourceSpans"] = [];
      for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
        const params = { path: { id: sessionId, traceId }, query: cursor === undefined ? {} : { cursor } };
        const page = await ok(api.GET("/api/sessions/{id}/traces/{traceId}", { params, signal }));
        groups.push(...page.resourceSpans);
        cursor = page.nextCursor;
      }
      return groups;
    },
    enabled: isWanted,
    refetchInterval: everyMs,
    placeholderData: keepPreviousData,
  });
}

/** One span. @param everyMs how often to read it anew: an open one tells when it was last heard of */
export function spanQuery(sessionId: string, traceId: string, spanId: string, everyMs: number | false) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "otlp", traceId, spanId, everyMs === false],
    queryFn: async ({ signal }) => {
      const path = { id: sessionId, traceId, spanId };
      const { resourceSpans } = await ok(
        api.GET("/api/sessions/{id}/traces/{traceId}/spans/{spanId}", { params: { path }, signal }),
      );
      return resourceSpans;
    },
    refetchInterval: everyMs,
    placeholderData: keepPreviousData,
  });
}

/** The pages of a search of one trace. */
export function traceSearchQuery(sessionId: string, traceId: string, text: string) {
  return infiniteQueryOptions({
    queryKey: ["sessions", sessionId, "search", traceId, text],
    queryFn: ({ pageParam, signal }) => {
      const query = { q: text, ...(pageParam !== "" && { cursor: pageParam }) };
      const params = { path: { id: sessionId, traceId }, query };
      return ok(api.GET("/api/sessions/{id}/traces/{traceId}/search", { params, signal }));
    },
    initialPageParam: "",
    getNextPageParam: ({ nextCursor }) => nextCursor,
    enabled: text !== "",
  });
}

/** What became of each span of a trace; read anew while that may change. */
export function certificateQuery(sessionId: string, traceId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "certificate", traceId],
    queryFn: ({ signal }) => {
      const params = { path: { id: sessionId, traceId } };
      return ok(api.GET("/api/sessions/{id}/traces/{traceId}/certificate", { params, signal }));
    },
    refetchInterval: ({ state }) => (state.data?.state === "pending" ? 5_000 : false),
  });
}
