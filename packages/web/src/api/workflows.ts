/** Workflows of a session: its newest ones, and one by its id. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";

/** The ids of the executions of workflows begin so. */
const WORKFLOW_ID = "wfl_";

/** Whether a job is a workflow; if not, it is a message. */
export function isWorkflow(jobId: string): boolean {
  return jobId.startsWith(WORKFLOW_ID);
}

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

export function readWorkflow(
  sessionId: string,
  executionId: string,
  signal?: AbortSignal,
): Promise<Schemas["WorkflowView"]> {
  const path = { id: sessionId, executionId };
  return ok(
    api.GET("/api/sessions/{id}/workflows/{executionId}", {
      params: { path },
      ...(signal !== undefined && { signal }),
    }),
  );
}

/** One workflow. */
export function workflowQuery(sessionId: string, executionId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "workflow", executionId],
    queryFn: ({ signal }) => readWorkflow(sessionId, executionId, signal),
  });
}
