/**
 * The session's tracer. Its spans carry the session; those that outlive the event they began in are kept by the trace store
 * and taken up again by their context, which is stored with the state that they describe.
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

/** A processor that keeps open spans: `onStart` again stores what the span holds by now. */
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
   * Takes up an open span, changes it and keeps it: ended if `change` ends it, with its changes otherwise. One that is no
   * longer open, or was never recorded, is left alone.
   */
  change<N extends SpanName>(name: N, context: SpanContext, change: (span: SpanOf<N>) => void): void {
    const open = this.#store.openSpan(context.spanId);
    if (open === undefined || open.name !== name) return;
    const span = this.#tracer.resumeSpan(open);
    change(span as SpanOf<N>);
    // What a tracer hands out to record is what its processors are given.
    if (span.isRecording) this.#store.onStart(span as unknown as ReadableSpan);
  }
}

/** A context to store where tracing is off and there was no caller's. */
export function isTraced(context: SpanContext): boolean {
  return context.traceId !== INVALID_CONTEXT.traceId;
}
