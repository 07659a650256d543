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

/** A catalogue's entry for one span name. */
export interface SpanShape {
  readonly kind: SpanKind;
  readonly attributes: Attributes;
  readonly links: Attributes;
}

/** A catalogue maps span names, exact or as template patterns, to their shapes. This one allows everything. */
export interface AnySpan {
  readonly [name: string]: SpanShape;
}

/** The kind may be omitted only if INTERNAL, the default, is correct. */
type KindOption<K> = typeof SpanKind.INTERNAL extends K ? { readonly kind?: K } : { readonly kind: K };

/** The parent span, or its context if it belongs to another process. */
export type Parent = { readonly context: SpanContext } | SpanContext;

export type StartOptions<S extends SpanShape = SpanShape> = KindOption<S["kind"]> & {
  /** Without a parent the span is the root of a new trace. */
  readonly parent?: Parent | undefined;
  /** Now by default. */
  readonly startTime?: TimeInput | undefined;
  /** The trace id of a root, if something else must be able to derive it. Random if absent or not valid. */
  readonly traceId?: string | undefined;
  /** The span's id, if something else must be able to derive it. Random if absent or not valid. */
  readonly spanId?: string | undefined;
  readonly attributes?: S["attributes"] | undefined;
  readonly links?: readonly LinkInput<S["links"]>[] | undefined;
};

/** The options may be omitted if none of them is required. */
type OptionsArgument<S extends SpanShape> =
  object extends StartOptions<S> ? [options?: StartOptions<S>] : [options: StartOptions<S>];

export interface TracerOptions {
  readonly scope: Scope;
  readonly processor: SpanProcessor;
  /** By default parent-based, with all root spans sampled. */
  readonly sampler?: Sampler | undefined;
  readonly limits?: Partial<SpanLimits> | undefined;
  /** An anchored clock by default; Workers need the wall clock. */
  readonly clock?: Clock | undefined;
  readonly ids?: IdGenerator | undefined;
  /** If false, nothing is recorded or allocated, and every parent's context is propagated. True by default. */
  readonly enabled?: boolean | undefined;
  /** Whether exceptions are recorded with their message. False by default. */
  readonly captureContent?: boolean | undefined;
  /**
   * Keys of the attributes that are declared as doubles: their numbers are encoded as `doubleValue`, even integral ones. A backend
   * that has seen both types of a key finds only half of its values. All other integral numbers are encoded as `intValue`.
   */
  readonly doubleKeys?: ReadonlySet<string> | undefined;
  /** Rewrites every string value before it is stored; `redactSecrets` by default. */
  readonly redact?: Redact | undefined;
  readonly onDiagnostic?: OnDiagnostic | undefined;
}

interface TracerSettings extends SpanSettings {
  readonly sampler: Sampler;
  readonly ids: IdGenerator;
  readonly enabled: boolean;
}

/** The spans of a disabled tracer: one for each context, however many are started from it. */
const passThrough = new WeakMap<SpanContext, PassThroughSpan>();

/**
 * Creates spans. There is no active span and no global state: callers pass the parent explicitly.
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
      // The owner's callbacks may throw. One wrapper for any arguments would cost Bun a twentieth of a span.
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
          // A value that could not be redacted is not stored.
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
   * Starts a span. Never throws: invalid options are ignored, and if the sampler or the id generator throws, nothing is recorded
   * and the parent's context is propagated.
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
    // The context of a recording span is valid.
    const parent = given instanceof RecordingSpan ? given.context : checkContext(contextOf(given));
    const isGiven = isValidTraceId(givenId);
    const { traceId, traceFlags, traceState } = parent ?? {
      traceId: isGiven ? givenId : settings.ids.traceId(),
      traceFlags: isGiven ? 0 : RANDOM,
      traceState: "",
    };
    const kind = isSpanKind(options.kind) ? options.kind : INTERNAL;
    // The specification's order: trace id, sampler, span id. A dropped span has its own id, too.
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
   * Runs `work` in a span that ends when its promise settles. An exception is recorded, sets the status to ERROR, and is
   * rethrown.
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

  /** Continues a span that another process started, or this one before its eviction. Does not call `onStart` a second time. */
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
