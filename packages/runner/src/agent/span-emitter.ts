/** Turns facts into spans. */

import type { Heard } from "@valet/shared/heard";
import { endWith } from "@valet/shared/outcome";
import type { LinkType, ValetSpans } from "@valet/shared/spans";
import { type Span, type SpanContext, SpanKind, type Tracer } from "@valet/shared/tracing";
import { contentAttributes } from "./content-attributes.ts";
import type { BeginFact, EndFact, Fact } from "./facts.ts";

export interface SpanEmitterOptions {
  readonly tracer: Tracer<ValetSpans>;
  /** The parent of the facts' topmost spans: `valet.turn` or a workflow step. */
  readonly parent: { readonly context: SpanContext };
  /** How long one attribute with content may be, in bytes of UTF-8. Spans have no content if it is absent. */
  readonly contentMaxBytes: number | undefined;
  /** Called on progress of what the span waits for. @param atMs epoch ms */
  onHeard(spanId: string, atMs: number, what: Heard): void;
}

const FOLLOWS: LinkType = "follows";

export class SpanEmitter {
  readonly #options: SpanEmitterOptions;
  /** Untyped, since facts may have any span name. The compiler checks them against the catalogue where they are made. */
  readonly #tracer: Tracer;
  readonly #open = new Map<string, Span>();

  constructor(options: SpanEmitterOptions) {
    this.#options = options;
    this.#tracer = options.tracer as unknown as Tracer;
  }

  /** @param follows the context of the failed prompt with the previous model, to which the topmost span links */
  emit(facts: readonly Fact[], follows?: SpanContext): void {
    for (const fact of facts) {
      if (fact.type === "begin") this.#begin(fact, follows);
      else if (fact.type === "end") this.#end(fact);
      else this.#options.onHeard(fact.spanId, fact.atMs, fact.what);
    }
  }

  #begin({ spanId, parentId, name, startMs, attributes }: BeginFact, follows: SpanContext | undefined): void {
    const parent = parentId === undefined ? this.#options.parent : this.#open.get(parentId);
    const isTop = parentId === undefined;
    const span = this.#tracer.startSpan(name, {
      kind: name.startsWith("chat ") ? SpanKind.CLIENT : SpanKind.INTERNAL,
      parent: parent ?? this.#options.parent,
      startTime: startMs,
      spanId,
      attributes,
      links: isTop && follows !== undefined ? [{ context: follows, attributes: { "valet.link.type": FOLLOWS } }] : [],
    });
    this.#open.set(spanId, span);
  }

  #end({ spanId, endMs, outcome, errorType, attributes, content }: EndFact): void {
    const span = this.#open.get(spanId);
    if (span === undefined) return;
    this.#open.delete(spanId);
    span.setAttributes(attributes);
    span.setAttributes(contentAttributes(content, this.#options.contentMaxBytes));
    endWith(span, outcome, errorType, endMs);
  }
}
