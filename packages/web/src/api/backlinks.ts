/** The spans of a session that link to one of its traces. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";

/** The most pages that are read: a page has some thousand links, or a part of what an earlier version has stored. */
const MAX_PAGES = 100;

export function backlinksQuery(sessionId: string, traceId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "backlinks", traceId],
    queryFn: async ({ signal }) => {
      const backlinks: Schemas["Backlink"][] = [];
      let cursor: string | undefined;
      for (let page = 0; page < MAX_PAGES; page++) {
        const params = { path: { id: sessionId, traceId }, query: cursor === undefined ? {} : { cursor } };
        const answer = await ok(api.GET("/api/sessions/{id}/traces/{traceId}/backlinks", { params, signal }));
        backlinks.push(...answer.backlinks);
        cursor = answer.nextCursor;
        if (cursor === undefined) break;
      }
      return { backlinks, hasMore: cursor !== undefined };
    },
  });
}
