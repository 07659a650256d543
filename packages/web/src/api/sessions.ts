/** Sessions: their list, and each one's state. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, ok } from "./client.ts";
import { isPassing, nextRead } from "./problem.ts";

const PAGE = 100;
/** How many pages are read by themselves: the newest thousand sessions. */
export const MAX_LOADED_PAGES = 10;
/** How often one page of the list is read, ms: with several pages, each comes by that much more rarely. */
const EVERY_MS = 5_000;

export const sessionsQuery = infiniteQueryOptions({
  queryKey: ["sessions", "list"],
  queryFn: ({ pageParam, signal }) => {
    const query = { limit: PAGE, ...(pageParam !== "" && { cursor: pageParam }) };
    return ok(api.GET("/api/sessions", { params: { query }, signal }));
  },
  initialPageParam: "",
  getNextPageParam: ({ nextCursor }) => nextCursor,
  refetchInterval: ({ state }) => nextRead(EVERY_MS * Math.max(1, state.data?.pages.length ?? 1), state.error),
});

/** The most characters of a search that the API takes. */
const MAX_SEARCH = 200;

/** The sessions of any age in which the words of a search are found, the newest first. @param search nothing is asked for without words */
export function foundSessionsQuery(search: string) {
  const q = search.trim().slice(0, MAX_SEARCH);
  return infiniteQueryOptions({
    queryKey: ["sessions", "found", q],
    queryFn: ({ pageParam, signal }) => {
      const query = { q, limit: PAGE, ...(pageParam !== "" && { cursor: pageParam }) };
      return ok(api.GET("/api/sessions", { params: { query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: ({ nextCursor }) => nextCursor,
    enabled: q !== "",
  });
}

/** What a session does now, with the verdict on it. @param everyMs how often to read it; `false` where its events tell more */
export function nowQuery(sessionId: string, everyMs: number | false = 5_000) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "now"],
    queryFn: ({ signal }) => ok(api.GET("/api/sessions/{id}/now", { params: { path: { id: sessionId } }, signal })),
    // What a session that is gone answers does not change.
    refetchInterval: ({ state: { error } }) =>
      everyMs !== false && (error === null || isPassing(error)) ? nextRead(everyMs, error) : false,
  });
}

/** A session as its object sees it. */
export function sessionQuery(sessionId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "view"],
    queryFn: ({ signal }) => ok(api.GET("/api/sessions/{id}", { params: { path: { id: sessionId } }, signal })),
  });
}
