import type { Attributes, Redact } from "./attributes.ts";
import { ERROR, INTERNAL, RANDOM, SAMPLED } from "./codes.ts";
import { checkContext, INVALID_CONTEXT, type SpanContext } from "./context.ts";
import { type OnDiagnostic, quiet } from "./diagnostics.ts";
import { exceptionType } from "./exception.ts";
import { createRandomIds, type IdGenerator, isValidSpanId, isValidTraceId } from "./ids.ts";
import { DEFAULT_LIMITS, type SpanLimits } from "./limits.ts";
import type { OpenSpan } from "./readable-span.ts";
import { isSpanKind, type Scope, type SpanKind } from "./readable-span.ts";
import { redactSecrets } from "./redact.ts";
import { alwaysOn, parentBased, type Sampler } from "./sampler.ts";
import { type LinkInput, PassThroughSpan, RecordingSpan, type Span, type SpanSettings, timeOf } from "./span.ts";
import type { SpanProcessor } from "./span-processor.ts";
import { type Clock, createAnchoredClock, type TimeInput } from "./time.ts";

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
  readonly processor: SpanProcessor;
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
  /**
   * Keys of the attributes that are declared as doubles: their numbers are encoded as `doubleValue`, integral ones too. A backend
   * that knows a key as both types finds half of its values. Without, integral numbers are encoded as `intValue`.
   */
  readonly doubleKeys?: ReadonlySet<string> | undefined;
  /** Rewrites every string value before it is kept; `redactSecrets` unless given. */
  readonly redact?: Redact | undefined;
  readonly onDiagnostic?: OnDiagnostic | undefined;
}

interface TracerSettings extends SpanSettings {
  readonly sampler: Sampler;
  readonly ids: IdGenerator;
  readonly enabled: boolean;
}

/** With tracing off, one span a context, however many are started from it. */
const passThrough = new WeakMap<SpanContext, PassThroughSpan>();

/**
 * Makes spans. There is no current span and no global: a child is given its parent.
 *
 * ```ts
 * const span = tracer.startSpan("work", { parent, attributes: { "job.id": id } });
 * ```
 */
export class Tracer<C extends { readonly [N in keyof C]: SpanShape } = AnySpan> {
  readonly #settings: TracerSettings;

  constructor({
    scope,
    processor,
    sampler = parentBased(alwaysOn),
    limits,
    clock = createAnchoredClock(),
    ids = createRandomIds(),
    enabled = true,
    captureContent = false,
    doubleKeys,
    redact = redactSecrets,
    onDiagnostic,
  }: TracerOptions) {
    const tell = quiet(onDiagnostic);
    const report = (error: unknown) => tell({ type: "callback_error", error });
    const spare = createAnchoredClock();
    this.#settings = {
      ...DEFAULT_LIMITS,
      ...limits,
      scope,
      sampler,
      ids,
      enabled,
      captureContent,
      doubleKeys,
      // What was handed in may throw. No wrapper for all of it: taking any arguments, it costs Bun a twentieth of a span.
      clock() {
        try {
          return clock();
        } catch (error) {
          report(error);
          return spare();
        }
      },
      redact(key, value) {
        try {
          return redact(key, value);
        } catch (error) {
          report(error);
          // What could not be cleaned is not kept.
          return "";
        }
      },
      notify(call, span) {
        try {
          processor[call](span);
        } catch (error) {
          report(error);
        }
      },
      onDiagnostic: tell,
    };
  }

  /**
   * Begins a span. Never throws: what is unusable in the options is left out, and where the sampler or the id generator
   * throws, nothing is recorded and the parent's context is passed through.
   */
  startSpan<N extends keyof C & string>(
    name: N,
    ...[options]: OptionsArgument<C[N]>
  ): Span<C[N]["attributes"], C[N]["links"]> {
    try {
      if (this.#settings.enabled) return this.#start(name, options);
    } catch (error) {
      this.#settings.onDiagnostic({ type: "callback_error", error });
    }
    return passOn(options?.parent);
  }

  #start(name: string, options: StartOptions = {}): Span {
    const settings = this.#settings;
    const { parent: given, traceId: givenId, spanId, attributes, links } = options;
    // What a tracer made need not be checked again.
    const parent = given instanceof RecordingSpan ? given.context : checkContext(contextOf(given));
    const isGiven = isValidTraceId(givenId);
    const { traceId, traceFlags, traceState } = parent ?? {
      traceId: isGiven ? givenId : settings.ids.traceId(),
      traceFlags: isGiven ? 0 : RANDOM,
      traceState: "",
    };
    const kind = isSpanKind(options.kind) ? options.kind : INTERNAL;
    // The order is the specification's: trace id, sampler, span id; a dropped span has an id of its own too.
    const sampling = settings.sampler(traceId, parent, name, kind, attributes);
    const context: SpanContext = {
      traceId,
      spanId: isValidSpanId(spanId) ? spanId : settings.ids.spanId(),
      traceFlags: (traceFlags & RANDOM) | (sampling.decision === "sample" ? SAMPLED : 0),
      traceState: sampling.traceState ?? traceState,
      isRemote: false,
    };
    if (sampling.decision === "drop") return new PassThroughSpan(context);

    const span = new RecordingSpan(settings, context, parent, name, kind, timeOf(settings, options.startTime));
    span.setAttributes(attributes);
    span.setAttributes(sampling.attributes);
    if (Array.isArray(links)) for (const link of links) span.addLink(link);
    settings.notify("onStart", span);
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
      span.setStatus(ERROR, exceptionType(error));
      throw error;
    } finally {
      span.end();
    }
  }

  /** Goes on with a span that another process began, or this one before it was evicted. Processors are not told a second time. */
  resumeSpan(open: OpenSpan): Span {
    return this.#settings.enabled ? RecordingSpan.resume(this.#settings, open) : passOn(open.context);
  }
}

function passOn(parent: Parent | undefined): PassThroughSpan {
  if (parent instanceof PassThroughSpan) return parent;
  const context = contextOf(parent) ?? INVALID_CONTEXT;
  let span = passThrough.get(context);
  if (!span) {
    span = new PassThroughSpan(context);
    passThrough.set(context, span);
  }
  return span;
}

function contextOf(parent: Parent | undefined): SpanContext | undefined {
  const context = (parent as Partial<Span> | undefined)?.context ?? parent;
  return typeof context === "object" && context !== null ? (context as SpanContext) : undefined;
}
