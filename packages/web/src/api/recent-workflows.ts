/** The newest workflows of a session. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok } from "./client.ts";

/** The newest page of workflows, the newest first. Without a live stream, it is read again when the session's events say so. */
export function recentWorkflowsQuery(sessionId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "recent-workflows"],
    queryFn: ({ signal }) => {
      const params = { path: { id: sessionId }, query: { order: "desc" as const } };
      return ok(api.GET("/api/sessions/{id}/workflows", { params, signal }));
    },
    select: ({ workflows }) => workflows,
  });
}
