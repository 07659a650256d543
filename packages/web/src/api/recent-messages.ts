/** The newest messages of a session, to choose one from. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok } from "./client.ts";

/** The newest page of messages, the newest first. Without a live stream, it is read again when the session's events say so. */
export function recentMessagesQuery(sessionId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "recent-messages"],
    queryFn: ({ signal }) => {
      const params = { path: { id: sessionId }, query: { order: "desc" as const } };
      return ok(api.GET("/api/sessions/{id}/messages", { params, signal }));
    },
    select: ({ messages }) => messages,
  });
}
