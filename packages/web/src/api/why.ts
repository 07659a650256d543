/** Why a message or a workflow took so long, cost so much, or failed. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";
import { isPassing } from "./problem.ts";
import { MEDIUM_MS, whyEveryMs } from "./why-interval.ts";
import { isWorkflow } from "./workflows.ts";

function readWhy(id: string, jobId: string, signal: AbortSignal): Promise<Schemas["WhyView"]> {
  if (isWorkflow(jobId)) {
    const path = { id, executionId: jobId };
    return ok(api.GET("/api/sessions/{id}/workflows/{executionId}/why", { params: { path }, signal }));
  }
  return ok(
    api.GET("/api/sessions/{id}/messages/{messageId}/why", { params: { path: { id, messageId: jobId } }, signal }),
  );
}

/** The answer about a message or a workflow; about one that has not ended, again and again. */
export function whyQuery(sessionId: string, jobId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "why", jobId],
    queryFn: ({ signal }) => readWhy(sessionId, jobId, signal),
    refetchInterval: ({ state: { data, error } }) => {
      if (error !== null && !isPassing(error)) return false;
      return data === undefined ? MEDIUM_MS : whyEveryMs(data);
    },
  });
}
