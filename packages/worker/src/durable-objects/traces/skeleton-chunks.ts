/** Chunks of skeletons as the text that is stored and sent. Pure. */
import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { SpanFacts } from "./otlp-request.ts";

/** Returns the JSON of a chunk for each trace, by its id. */
export function skeletonsOf(spans: readonly SpanFacts[]): ReadonlyMap<string, string> {
  const traces = Map.groupBy(spans, ({ traceId }) => traceId);
  return new Map(Array.from(traces, ([traceId, ofTrace]) => [traceId, toChunk(ofTrace)]));
}

/** Returns the JSON of a chunk with these spans. */
export function toChunk(spans: readonly SkeletonSpan[]): string {
  // A sender may repeat a span within a segment.
  const distinct = new Map(spans.map((span) => [span.spanId, span]));
  return JSON.stringify(encodeSkeleton([...distinct.values()]));
}
