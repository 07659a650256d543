/** Why a message took so long, cost so much, or failed. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok } from "./client.ts";
import { isPassing } from "./problem.ts";
import { MEDIUM_MS, whyEveryMs } from "./why-interval.ts";

/** The answer about a message; about one that has not ended, again and again. */
export function whyQuery(sessionId: string, messageId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "why", messageId],
    queryFn: ({ signal }) => {
      const path = { id: sessionId, messageId };
      return ok(api.GET("/api/sessions/{id}/messages/{messageId}/why", { params: { path }, signal }));
    },
    refetchInterval: ({ state: { data, error } }) => {
      if (error !== null && !isPassing(error)) return false;
      return data === undefined ? MEDIUM_MS : whyEveryMs(data);
    },
  });
}
