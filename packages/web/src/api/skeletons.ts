/** The skeletons of traces: all spans without attributes, in pages. */
import { api, ok, type Schemas } from "./client.ts";

interface SkeletonPage {
  readonly skeleton: Schemas["TraceSkeleton"];
  readonly etag: string | undefined;
}

/**
 * Reads a page of a trace's skeleton.
 * @param after `next` of the page before, if any
 * @param etag of the same page, if it was read before
 * @returns `undefined` if it is still what `etag` is of
 */
export async function readSkeleton(
  sessionId: string,
  traceId: string,
  { after, etag, signal }: { after?: string | undefined; etag?: string | undefined; signal?: AbortSignal },
): Promise<SkeletonPage | undefined> {
  const params = { path: { id: sessionId, traceId }, query: after === undefined ? {} : { after } };
  const headers = etag === undefined ? {} : { "if-none-match": etag };
  const options = { params, headers, ...(signal !== undefined && { signal }) };
  const answer = await api.GET("/api/sessions/{id}/traces/{traceId}/skeleton", options);
  if (answer.response.status === 304) return undefined;
  // What `openapi-fetch` makes of the answer's type has lost the lengths of its tuples.
  const skeleton = (await ok<unknown>(Promise.resolve(answer))) as Schemas["TraceSkeleton"];
  return { skeleton, etag: answer.response.headers.get("etag") ?? undefined };
}
