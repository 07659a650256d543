/** The skeletons of traces: all spans without attributes, in pages. */
import { api, ok, type Schemas, whole } from "./client.ts";
import { readEarly, readOnce } from "./early-reads.ts";

interface SkeletonPage {
  readonly skeleton: Schemas["TraceSkeleton"];
  readonly etag: string | undefined;
}

interface Place {
  readonly after?: string | undefined;
  readonly etag?: string | undefined;
  readonly signal?: AbortSignal;
}

/** Asks for the first page of a skeleton, whose page is still being loaded. */
export function readSkeletonEarly(sessionId: string, traceId: string): void {
  readEarly(keyOf(sessionId, traceId), () => requestSkeleton(sessionId, traceId, {}));
}

/**
 * Reads a page of a trace's skeleton.
 * @param place `after` is `next` of the page before, if any; `etag` that of the same page, if it was read before
 * @returns `undefined` if it is still what `etag` is of
 */
export function readSkeleton(sessionId: string, traceId: string, place: Place): Promise<SkeletonPage | undefined> {
  const read = () => requestSkeleton(sessionId, traceId, place);
  const isFirst = place.after === undefined && place.etag === undefined;
  return isFirst ? readOnce(keyOf(sessionId, traceId), read) : read();
}

function keyOf(sessionId: string, traceId: string): string {
  return `skeleton ${sessionId} ${traceId}`;
}

async function requestSkeleton(
  sessionId: string,
  traceId: string,
  { after, etag, signal }: Place,
): Promise<SkeletonPage | undefined> {
  const params = { path: { id: sessionId, traceId }, query: after === undefined ? {} : { after } };
  const headers = etag === undefined ? {} : { "if-none-match": etag };
  const options = { params, headers, ...(signal !== undefined && { signal }) };
  const answer = await whole(api.GET("/api/sessions/{id}/traces/{traceId}/skeleton", options));
  if (answer.response.status === 304) return undefined;
  // What `openapi-fetch` makes of the answer's type has lost the lengths of its tuples.
  const skeleton = (await ok<unknown>(Promise.resolve(answer))) as Schemas["TraceSkeleton"];
  return { skeleton, etag: answer.response.headers.get("etag") ?? undefined };
}
