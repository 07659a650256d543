/** One message of a session. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";
import { ApiError } from "./problem.ts";

/** Returns a message; `undefined` if the session has none with this id, which may be a workflow's. */
export async function readMessage(
  sessionId: string,
  messageId: string,
  signal?: AbortSignal,
): Promise<Schemas["MessageView"] | undefined> {
  const options = { params: { path: { id: sessionId, messageId } }, ...(signal !== undefined && { signal }) };
  try {
    return await ok(api.GET("/api/sessions/{id}/messages/{messageId}", options));
  } catch (error) {
    if (error instanceof ApiError && error.problem === "message-not-found") return undefined;
    throw error;
  }
}

/** A message, `null` if the session has none with this id. One that has ended does not change any more. */
export function messageQuery(sessionId: string, messageId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "message", messageId],
    queryFn: async ({ signal }) => (await readMessage(sessionId, messageId, signal)) ?? null,
    staleTime: ({ state }) => (state.data?.status === "done" ? Number.POSITIVE_INFINITY : 0),
  });
}
