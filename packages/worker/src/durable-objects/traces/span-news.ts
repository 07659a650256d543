/** Sends clients the spans that a transaction has begun, changed or ended, as rows of their traces' skeletons: one event a commit. */
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";

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
  /** By trace id and span id; the last state of a span counts. */
  readonly #traces = new Map<string, Map<string, SkeletonSpan>>();

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
      for (const row of rows) {
        const spans = this.#traces.get(row.traceId) ?? new Map<string, SkeletonSpan>();
        this.#traces.set(row.traceId, spans.set(row.spanId, row));
      }
    });
  };

  /** Sends what has been added. Called after a commit and its effects. */
  send(): void {
    if (this.#traces.size === 0) return;
    const taken = [...this.#traces];
    this.#traces.clear();
    const traces = taken.map(([traceId, spans]) => ({ traceId, chunk: encodeSkeleton([...spans.values()]) }));
    this.#options.clients.broadcast({ type: "spans", traces });
  }
}
