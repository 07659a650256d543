/** What turns changed in the repository. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";

interface Range {
  readonly from?: string;
  readonly to?: string;
}

async function readDiff(id: string, query: Range, signal: AbortSignal): Promise<Schemas["DiffView"]> {
  const diff = await ok(api.GET("/api/sessions/{id}/diff", { params: { path: { id }, query }, signal }));
  // The patch alone is for who asks for it.
  if (typeof diff === "string") throw new TypeError("The API answered with a patch alone.");
  return diff;
}

/** The turns of a range; by default all, of which the API gives the newest 200. */
export function changesQuery(sessionId: string, from = "first", to?: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "changes", from, to ?? ""],
    queryFn: ({ signal }) => readDiff(sessionId, { from, ...(to !== undefined && { to }) }, signal),
  });
}

/** The patch of one turn. What a turn changed does not change any more. */
export function turnPatchQuery(sessionId: string, turnId: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "patch", turnId],
    queryFn: async ({ signal }) => (await readDiff(sessionId, { to: turnId }, signal)).patch,
    staleTime: Number.POSITIVE_INFINITY,
  });
}
