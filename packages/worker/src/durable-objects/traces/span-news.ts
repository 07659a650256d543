/** Sends clients the spans that a transaction has begun, changed, ended or lost, as rows of their traces' skeletons: one event a commit. */
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { SpanRef } from "./trace-accounts.ts";

/** A span with the trace that it belongs to. */
export interface SpanRow extends SkeletonSpan {
  readonly traceId: string;
}

export interface SpanNewsOptions {
  readonly clients: { readonly isEmpty: boolean; broadcast(event: ClientEvent): void };
  readonly afterCommit: (effect: () => void) => void;
}

export class SpanNews {
  readonly #options: SpanNewsOptions;
  /** By trace id and span id; the last state of a span counts. `undefined` for one whose end is lost. */
  readonly #traces = new Map<string, Map<string, SkeletonSpan | undefined>>();

  constructor(options: SpanNewsOptions) {
    this.#options = options;
  }

  /** Takes spans that the running transaction stores; they are forgotten if it is rolled back. @param read is called only for clients */
  readonly add = (read: () => readonly SpanRow[]): void => {
    const { clients, afterCommit } = this.#options;
    if (clients.isEmpty) return;
    const rows = read();
    if (rows.length === 0) return;
    afterCommit(() => {
      for (const row of rows) this.#note(row, row);
    });
  };

  /** Takes open spans whose ends the running transaction has counted as lost; they are forgotten if it is rolled back. */
  readonly addLost = (spans: readonly SpanRef[]): void => {
    const { clients, afterCommit } = this.#options;
    if (clients.isEmpty || spans.length === 0) return;
    afterCommit(() => {
      for (const span of spans) this.#note(span, undefined);
    });
  };

  #note({ traceId, spanId }: SpanRef, state: SkeletonSpan | undefined): void {
    const spans = this.#traces.get(traceId) ?? new Map<string, SkeletonSpan | undefined>();
    this.#traces.set(traceId, spans.set(spanId, state));
  }

  /** Sends what has been added. Called after a commit and its effects. */
  send(): void {
    if (this.#traces.size === 0) return;
    const taken = [...this.#traces];
    this.#traces.clear();
    const traces = taken.map(([traceId, spans]) => {
      const lost = [...spans].flatMap(([spanId, state]) => (state === undefined ? [spanId] : []));
      const rows = [...spans.values()].filter((state) => state !== undefined);
      return { traceId, chunk: encodeSkeleton(rows), ...(lost.length > 0 && { lost }) };
    });
    this.#options.clients.broadcast({ type: "spans", traces });
  }
}
