/** Remembers for which call each span works that names a trace of the session: the spans below it work for the same one. */
import type { Call } from "./calls.ts";
import { callAbove, type SpanIds, type Surroundings } from "./placement.ts";

/** How many spans are remembered, over all calls. */
const MAX_REMEMBERED = 200_000;

export class Work {
  readonly #calls = new Map<string, Call>();

  /** Returns the call that a span works for; `undefined` for an unknown span. */
  callOf(spanId: string): Call | undefined {
    return this.#calls.get(spanId);
  }

  /** Takes note of the spans of one request, in which children usually come before their parents. */
  note(spans: readonly SpanIds[], surroundings: Omit<Surroundings, "workFor">): void {
    const around = { ...surroundings, workFor: (spanId: string) => this.callOf(spanId) };
    const open = new Map(
      spans.filter(({ traceId }) => surroundings.ofTrace(traceId).length > 0).map((span) => [span.spanId, span]),
    );
    for (const span of open.values()) {
      for (const each of this.#upwards(span, open).reverse()) this.#remember(each.spanId, callAbove(each, around));
    }
  }

  /** Returns the span and those above it that are in the request and not yet known. A cycle ends where it began. */
  #upwards(span: SpanIds, open: ReadonlyMap<string, SpanIds>): SpanIds[] {
    const found = new Set<SpanIds>();
    for (let at: SpanIds | undefined = span; at !== undefined && !found.has(at) && !this.#calls.has(at.spanId); ) {
      found.add(at);
      at = at.parentSpanId === undefined ? undefined : open.get(at.parentSpanId);
    }
    return [...found];
  }

  #remember(spanId: string, call: Call): void {
    this.#calls.set(spanId, call);
    if (this.#calls.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#calls.keys()) {
      this.#calls.delete(oldest);
      return;
    }
  }
}
