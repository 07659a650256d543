/**
 * The session's tracer. Its spans have the session's attributes. The trace store keeps open spans across events; a span is
 * resumed by its context, which is stored with the state that the span describes.
 */
import type { SpanOf } from "@valet/shared/outcome";
import {
  type OriginAttributes,
  originAttributes,
  type SessionOrigin,
  type SpanAttributes,
  type SpanName,
  sessionAttributes,
  type ValetSpans,
} from "@valet/shared/spans";
import {
  INVALID_CONTEXT,
  type OpenSpan,
  type ReadableSpan,
  type SpanContext,
  type SpanProcessor,
  type StartOptions,
  type Tracer,
} from "@valet/shared/tracing";
import type { TraceUsers } from "./trace-users.ts";

/** A span processor that stores open spans. A further `onStart` stores the span's current data. */
export interface SpanStore extends SpanProcessor {
  openSpan(spanId: string): OpenSpan | undefined;
}

/** The session as its spans name it. */
export interface TracedSession {
  readonly id: string;
  /** 0 before there is a sandbox. */
  readonly generation: number;
  readonly origin: SessionOrigin & { readonly userId: string };
}

/** The spans that decide for whom the others in their trace are. Several messages may be in one trace of their caller: the last dispatch counts. */
const DECIDES: ReadonlySet<SpanName> = new Set<SpanName>([
  "valet.prompt.dispatch",
  "valet.workflow.dispatch",
  "valet.sandbox.spawn",
  "valet.sandbox.restore",
  "valet.sandbox.hibernate",
  "valet.session.terminate",
]);

export class SessionTracer {
  readonly #tracer: Tracer<ValetSpans>;
  readonly #store: SpanStore;
  readonly #session: () => TracedSession;
  readonly #users: TraceUsers;

  constructor(tracer: Tracer<ValetSpans>, store: SpanStore, session: () => TracedSession, users: TraceUsers) {
    this.#tracer = tracer;
    this.#store = store;
    this.#session = session;
    this.#users = users;
  }

  start<N extends SpanName>(name: N, options: StartOptions<ValetSpans[N]>): SpanOf<N> {
    const { id, generation, origin } = this.#session();
    const { "user.id": named, ...more } = { ...options.attributes } as SpanAttributes<"valet.prompt">;
    const { parent } = options;
    const userId = named ?? (parent && this.#users.of(traceIdOf(parent))) ?? origin.userId;
    const attributes = { ...sessionAttributes(id, generation), ...originAttributes({ ...origin, userId }), ...more };
    const span = this.#tracer.startSpan(name, { ...options, attributes } as never) as SpanOf<N>;
    if (named !== undefined && span.isRecording && DECIDES.has(name))
      this.#users.set(span.context.traceId, named, origin.userId);
    return span;
  }

  /** Returns the attributes of the session's repository and parent, for a span that another process has begun. */
  where(): OriginAttributes {
    const { "user.id": _, ...where } = originAttributes(this.#session().origin);
    return where;
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

function traceIdOf(parent: NonNullable<StartOptions<ValetSpans[SpanName]>["parent"]>): string {
  return "context" in parent ? parent.context.traceId : parent.traceId;
}
