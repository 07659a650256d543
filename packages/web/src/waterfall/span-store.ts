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

  /** Returns the ids of the open spans. */
  open(): string[] {
    return Array.from(this.#spans.values()).flatMap(({ spanId, endUs }) => (endUs === undefined ? [spanId] : []));
  }

  /** Forgets open spans whose ends are lost. @returns whether anything changed */
  lose(spanIds: readonly string[]): boolean {
    const lost = spanIds.filter((id) => this.#spans.has(id) && this.#spans.get(id)?.endUs === undefined);
    for (const id of lost) this.#spans.delete(id);
    return lost.length > 0;
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

/** Returns those of the spans that the chunks do not tell of. */
export function missingIn(chunks: readonly Chunk[], spanIds: readonly string[]): string[] {
  if (spanIds.length === 0) return [];
  const told = new Set(chunks.flatMap(decodeSkeleton).map(({ spanId }) => spanId));
  return spanIds.filter((id) => !told.has(id));
}
