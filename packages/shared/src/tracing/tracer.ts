import type { AttributeRules, Attributes, Redact } from "./attributes.ts";
import { checkContext } from "./check-context.ts";
import { INVALID_CONTEXT, type SpanContext, TraceFlags } from "./context.ts";
import { type OnDiagnostic, quiet } from "./diagnostics.ts";
import { exceptionType } from "./exception.ts";
import { createRandomIds, type IdGenerator, isValidSpanId, isValidTraceId } from "./ids.ts";
import { DEFAULT_LIMITS, type SpanLimits } from "./limits.ts";
import type { OpenSpan } from "./open-span.ts";
import { redactSecrets } from "./redact.ts";
import { alwaysOn, parentBased, type Sampler } from "./sampler.ts";
import type { SpanSink } from "./sink.ts";
import {
  isSpanKind,
  type LinkInput,
  PassThroughSpan,
  RecordingSpan,
  type Scope,
  type Span,
  SpanKind,
  type SpanSettings,
  StatusCode,
  timeOf,
} from "./span.ts";
import { type Clock, createAnchoredClock, type TimeInput, wallClock } from "./time.ts";

/** What a catalogue says of one span name. */
export interface SpanShape {
  readonly kind: SpanKind;
  readonly attributes: Attributes;
  readonly links: Attributes;
}

/** Span names, exact or as template patterns, and what each may carry. This one allows everything. */
export interface AnySpan {
  readonly [name: string]: SpanShape;
}

/** The kind may be left out only where INTERNAL, the default, is right. */
type KindOption<K> = typeof SpanKind.INTERNAL extends K ? { readonly kind?: K } : { readonly kind: K };

/** The span to be a child of, or its context if it is elsewhere. */
export type Parent = { readonly context: SpanContext } | SpanContext;

export type StartOptions<S extends SpanShape = SpanShape> = KindOption<S["kind"]> & {
  /** Without one the span is the root of a new trace. */
  readonly parent?: Parent | undefined;
  /** Now unless given. */
  readonly startTime?: TimeInput | undefined;
  /** The trace id of a root, when something else must be able to derive it. Random unless given and valid. */
  readonly traceId?: string | undefined;
  /** The span's id, likewise. */
  readonly spanId?: string | undefined;
  readonly attributes?: S["attributes"] | undefined;
  readonly links?: readonly LinkInput<S["links"]>[] | undefined;
};

/** The options may be left out where none of them is required. */
type OptionsArgument<S extends SpanShape> =
  object extends StartOptions<S> ? [options?: StartOptions<S>] : [options: StartOptions<S>];

export interface TracerOptions {
  readonly scope: Scope;
  readonly sink: SpanSink;
  /** Parent-based always on unless given. */
  readonly sampler?: Sampler | undefined;
  readonly limits?: Partial<SpanLimits> | undefined;
  /** An anchored clock unless given; Workers want the wall clock. */
  readonly clock?: Clock | undefined;
  readonly ids?: IdGenerator | undefined;
  /** Off: nothing is recorded, nothing allocated, and every parent's context is passed through. On unless given. */
  readonly enabled?: boolean | undefined;
  /** Whether exceptions keep their own text. Off unless given. */
  readonly captureContent?: boolean | undefined;
  /** Rewrites every string value before it is kept; `redactSecrets` unless given. */
  readonly redact?: Redact | undefined;
  readonly onDiagnostic?: OnDiagnostic | undefined;
}

const NOTHING = () => {};
const NO_SPAN = new PassThroughSpan(INVALID_CONTEXT);

/**
 * Makes spans. There is no current span and no global: a child is given its parent.
 *
 * ```ts
 * const span = tracer.startSpan("work", { parent, attributes: { "job.id": id } });
 * ```
 */
export class Tracer<C extends { readonly [N in keyof C]: SpanShape } = AnySpan> {
  readonly #settings: SpanSettings;
  readonly #sampler: Sampler;
  readonly #ids: IdGenerator;
  readonly #enabled: boolean;
  /** With tracing off, one span a context, however many are started from it. */
  readonly #passThrough = new WeakMap<SpanContext, PassThroughSpan>();

  constructor(options: TracerOptions) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const onDiagnostic = quiet(options.onDiagnostic);
    const report = (error: unknown) => onDiagnostic({ type: "sink_error", error });
    // What could not be cleaned is not kept.
    const redact = guard(options.redact ?? redactSecrets, () => "", report);
    const rules = (count: number): AttributeRules => ({ count, valueLength: limits.attributeValueLength, redact });
    this.#settings = {
      scope: options.scope,
      clock: guard(options.clock ?? createAnchoredClock(), wallClock, report),
      sink: {
        onStart: guard((span) => options.sink.onStart(span), NOTHING, report),
        onEnd: guard((span) => options.sink.onEnd(span), NOTHING, report),
      },
      captureContent: options.captureContent ?? false,
      maxEvents: limits.events,
      maxLinks: limits.links,
      attributeRules: rules(limits.attributes),
      eventRules: rules(limits.attributesPerEvent),
      linkRules: rules(limits.attributesPerLink),
      onDiagnostic,
    };
    this.#sampler = options.sampler ?? parentBased(alwaysOn);
    this.#ids = options.ids ?? createRandomIds();
    this.#enabled = options.enabled ?? true;
  }

  /**
   * Begins a span. Never throws: what is unusable in the options is left out, and where the sampler or the id generator
   * throws, nothing is recorded and the parent's context is passed through.
   */
  startSpan<N extends keyof C & string>(
    name: N,
    ...[options]: OptionsArgument<C[N]>
  ): Span<C[N]["attributes"], C[N]["links"]> {
    if (!this.#enabled) return this.#passOn(options?.parent);
    try {
      return this.#start(name, options);
    } catch (error) {
      this.#settings.onDiagnostic({ type: "sink_error", error });
      return this.#passOn(options?.parent);
    }
  }

  #start(name: string, options: StartOptions | undefined): Span {
    const settings = this.#settings;
    // What a tracer made need not be checked again.
    const given = options?.parent;
    const parent = given instanceof RecordingSpan ? given.context : checkContext(contextOf(given));
    const givenTraceId = parent === undefined ? validOr(options?.traceId, isValidTraceId) : undefined;
    const traceId = parent?.traceId ?? givenTraceId ?? this.#ids.traceId();
    const kind = isSpanKind(options?.kind) ? options.kind : SpanKind.INTERNAL;
    // The order is the specification's: trace id, sampler, span id; a dropped span has an id of its own too.
    const sampling = this.#sampler(traceId, parent, name, kind, options?.attributes);
    const random = parent === undefined ? givenTraceId === undefined : (parent.traceFlags & TraceFlags.RANDOM) !== 0;
    const context: SpanContext = {
      traceId,
      spanId: validOr(options?.spanId, isValidSpanId) ?? this.#ids.spanId(),
      traceFlags: (sampling.decision === "sample" ? TraceFlags.SAMPLED : 0) | (random ? TraceFlags.RANDOM : 0),
      traceState: sampling.traceState ?? parent?.traceState ?? "",
      isRemote: false,
    };
    if (sampling.decision === "drop") return new PassThroughSpan(context);

    const startTime = timeOf(settings, options?.startTime);
    const span = new RecordingSpan(settings, context, parent, name, kind, startTime);
    span.setAttributes(options?.attributes);
    span.setAttributes(sampling.attributes);
    if (Array.isArray(options?.links)) for (const link of options.links) span.addLink(link);
    settings.sink.onStart(span);
    return span;
  }

  /**
   * Runs `work` in a span that ends when its promise settles. What it throws is recorded, sets the status to ERROR and is
   * thrown on.
   */
  async withSpan<N extends keyof C & string, T>(
    name: N,
    options: StartOptions<C[N]>,
    work: (span: Span<C[N]["attributes"], C[N]["links"]>) => T | PromiseLike<T>,
  ): Promise<T> {
    const span = this.startSpan(name, ...([options] as OptionsArgument<C[N]>));
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error);
      span.setStatus(StatusCode.ERROR, exceptionType(error));
      throw error;
    } finally {
      span.end();
    }
  }

  /** Goes on with a span that another process began, or this one before it was evicted. Sinks are not told a second time. */
  resumeSpan(open: OpenSpan): Span {
    if (!this.#enabled) return this.#passOn(open.context);
    return RecordingSpan.resume(this.#settings, open);
  }

  #passOn(parent: Parent | undefined): PassThroughSpan {
    if (parent instanceof PassThroughSpan) return parent;
    const context = contextOf(parent);
    if (context === undefined) return NO_SPAN;
    let span = this.#passThrough.get(context);
    if (span === undefined) {
      span = new PassThroughSpan(context);
      this.#passThrough.set(context, span);
    }
    return span;
  }
}

function contextOf(parent: Parent | undefined): SpanContext | undefined {
  const context = (parent as Partial<Span> | undefined)?.context ?? parent;
  return typeof context === "object" && context !== null ? (context as SpanContext) : undefined;
}

function validOr(id: string | undefined, isValid: (id: string) => boolean): string | undefined {
  return typeof id === "string" && isValid(id) ? id : undefined;
}

/** `call`, but what it throws is reported, and `instead` takes its place. */
function guard<A extends unknown[], R>(
  call: (...args: A) => R,
  instead: () => R,
  report: (error: unknown) => void,
): (...args: A) => R {
  return (...args) => {
    try {
      return call(...args);
    } catch (error) {
      report(error);
      return instead();
    }
  };
}
