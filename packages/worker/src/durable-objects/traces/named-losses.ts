/** Spans of other processes that are lost, as far as somebody can name them: they are open no longer, and certificates list them. */
import type { DropReason } from "@valet/shared/tracing";
import type { ReadRequest } from "./otlp-request.ts";
import type { SpanRef, TraceAccounts } from "./trace-accounts.ts";
import type { TraceDrops } from "./trace-drops.ts";
import type { TraceOpenSpans } from "./trace-open-spans.ts";

export interface NamedLossesOptions {
  readonly open: Pick<TraceOpenSpans, "dropReceived">;
  readonly accounts: Pick<TraceAccounts, "addLost">;
  readonly drops: TraceDrops;
  /** Called with spans that were open until now. */
  readonly onLost?: ((spans: readonly SpanRef[]) => void) | undefined;
  /** Whether a sandbox may speak of a span: it is in a trace of the session. */
  readonly mayName: (span: SpanRef) => boolean;
}

export class NamedLosses {
  readonly #options: NamedLossesOptions;

  constructor(options: NamedLossesOptions) {
    this.#options = options;
  }

  /** A whole request cannot be stored. Without names nobody knows how many spans it held, so it counts as one. */
  request(reason: DropReason, named: readonly SpanRef[] | undefined): void {
    if (named === undefined) this.#options.drops.arriving(reason, [], 1);
    else this.#lose(reason, named);
  }

  /** Some spans of a request are malformed, or of another session. */
  ofRequest({ groups, refused, refusedIds }: ReadRequest, named: readonly SpanRef[] = []): void {
    const kept = new Set(groups.flatMap(({ spans }) => spans.map(({ spanId }) => spanId)));
    const lost = new Map([...named, ...refusedIds].flatMap((ref) => (kept.has(ref.spanId) ? [] : [[ref.spanId, ref]])));
    const own = [...lost.values()].filter(this.#options.mayName).slice(0, refused);
    this.#lose("invalid", own);
    this.#options.drops.arriving("invalid", [], refused - own.length);
  }

  /** A runner has lost spans. It reports by itself how many. */
  reported(reason: DropReason, named: readonly SpanRef[]): void {
    this.#options.accounts.addLost("arriving", reason, this.#close(named));
  }

  #lose(reason: DropReason, named: readonly SpanRef[]): void {
    const own = this.#close(named);
    this.#options.drops.arriving(reason, own);
    this.#options.drops.foreign(named.length - own.length);
  }

  /** Returns those of the spans that a sandbox may name; none of them is open any more. */
  #close(named: readonly SpanRef[]): SpanRef[] {
    const { open, mayName, onLost } = this.#options;
    const own = named.filter(mayName);
    const closed = open.dropReceived(own.map(({ spanId }) => spanId));
    onLost?.(closed);
    return own;
  }
}
