/**
 * The session's tracer. Its spans have the session's attributes. The trace store keeps open spans across events; a span is
 * resumed by its context, which is stored with the state that the span describes.
 */
import type { SpanOf } from "@valet/shared/outcome";
import { type SpanName, sessionAttributes, type ValetSpans } from "@valet/shared/spans";
import {
  INVALID_CONTEXT,
  type OpenSpan,
  type ReadableSpan,
  type SpanContext,
  type SpanProcessor,
  type StartOptions,
  type Tracer,
} from "@valet/shared/tracing";

/** A span processor that stores open spans. A further `onStart` stores the span's current data. */
export interface SpanStore extends SpanProcessor {
  openSpan(spanId: string): OpenSpan | undefined;
}

export class SessionTracer {
  readonly #tracer: Tracer<ValetSpans>;
  readonly #store: SpanStore;
  readonly #session: () => { readonly id: string; readonly generation: number };

  constructor(tracer: Tracer<ValetSpans>, store: SpanStore, session: () => { id: string; generation: number }) {
    this.#tracer = tracer;
    this.#store = store;
    this.#session = session;
  }

  start<N extends SpanName>(name: N, options: StartOptions<ValetSpans[N]>): SpanOf<N> {
    const { id, generation } = this.#session();
    const attributes = { ...sessionAttributes(id, generation), ...options.attributes };
    return this.#tracer.startSpan(name, { ...options, attributes } as never);
  }

  /**
   * Resumes an open span, changes it, and stores it unless `change` ends it. Does nothing if the span is no longer open, or was
   * never recorded.
   */
  change<N extends SpanName>(name: N, context: SpanContext, change: (span: SpanOf<N>) => void): void {
    const open = this.#store.openSpan(context.spanId);
    if (open === undefined || open.name !== name) return;
    const span = this.#tracer.resumeSpan(open);
    change(span as SpanOf<N>);
    // A recording span is the same object that its processor receives.
    if (span.isRecording) this.#store.onStart(span as unknown as ReadableSpan);
  }

  /** Resumes a span that another process began and handed over, so that it can be ended in this transaction. */
  takeOver<N extends SpanName>(open: OpenSpan): SpanOf<N> {
    const span = this.#tracer.resumeSpan(open);
    if (span.isRecording) this.#store.onStart(span as unknown as ReadableSpan);
    return span as SpanOf<N>;
  }
}

/** Returns whether a context belongs to a trace. It does not if tracing is off and the caller sent none. */
export function isTraced(context: SpanContext): boolean {
  return context.traceId !== INVALID_CONTEXT.traceId;
}
