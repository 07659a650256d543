/** The spans of a trace as chunks tell of them, in any order and repeatedly. Pure. */
import { decodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";

type Chunk = Parameters<typeof decodeSkeleton>[0];

export class SpanStore {
  readonly #spans = new Map<string, SkeletonSpan>();

  /** Takes a chunk. An answer may be older than an event that came before it, so what has ended stays ended. @returns whether anything changed */
  take(chunk: Chunk): boolean {
    let hasChanged = false;
    for (const span of decodeSkeleton(chunk)) {
      const known = this.#spans.get(span.spanId);
      if (known !== undefined && (span.endUs === undefined ? known.endUs !== undefined : isSame(known, span))) continue;
      this.#spans.set(span.spanId, span);
      hasChanged = true;
    }
    return hasChanged;
  }

  get size(): number {
    return this.#spans.size;
  }

  spans(): Iterable<SkeletonSpan> {
    return this.#spans.values();
  }
}

/** Whether an ended span is told of again. */
function isSame(known: SkeletonSpan, span: SkeletonSpan): boolean {
  return known.endUs === span.endUs && known.outcome === span.outcome && known.links.length === span.links.length;
}
