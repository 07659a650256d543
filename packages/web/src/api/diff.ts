/** What turns changed in the repository. The lists come without patches, which are read file by file. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok, type Schemas } from "./client.ts";

interface Asked {
  readonly from?: string;
  readonly to?: string;
  readonly file?: string;
  readonly patch?: "none";
}

async function readDiff(id: string, query: Asked, signal?: AbortSignal): Promise<Schemas["DiffView"]> {
  const options = { params: { path: { id }, query }, ...(signal !== undefined && { signal }) };
  const diff = await ok(api.GET("/api/sessions/{id}/diff", options));
  // The patch alone is for who asks for it.
  if (typeof diff === "string") throw new TypeError("The API answered with a patch alone.");
  return diff;
}

/** The turns of a range, without their patches; by default all turns, of which the API gives the newest 200. */
export function changesQuery(sessionId: string, from = "first", to?: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "changes", from, to ?? ""],
    queryFn: ({ signal }) => readDiff(sessionId, { from, ...(to !== undefined && { to }), patch: "none" }, signal),
  });
}

/** The patch of a file in one turn. What a turn changed does not change any more. */
export function filePatchQuery(sessionId: string, turnId: string, file: string) {
  return queryOptions({
    queryKey: ["sessions", sessionId, "patch", turnId, file],
    queryFn: async ({ signal }) => (await readDiff(sessionId, { to: turnId, file }, signal)).patch,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Reads the patches of a range, as one text. */
export async function readPatch(sessionId: string, from = "first", to?: string): Promise<string> {
  return (await readDiff(sessionId, { from, ...(to !== undefined && { to }) })).patch;
}
