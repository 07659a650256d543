import {
  type AttributeList,
  type AttributeRules,
  type Attributes,
  type AttributeValue,
  putAttribute,
  putAttributes,
  textOf,
} from "./attributes.ts";
import { checkContext } from "./check-context.ts";
import type { SpanContext } from "./context.ts";
import type { OnDiagnostic } from "./diagnostics.ts";
import { describeException } from "./exception.ts";
import type { OpenSpan } from "./open-span.ts";
import type { SpanSink } from "./sink.ts";
import { type Clock, compareTimes, type EpochTime, type TimeInput, toEpochTime } from "./time.ts";

/** The numbers of OTLP's `SpanKind`, one above those of the API. */
export const SpanKind = { INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export function isSpanKind(kind: unknown): kind is SpanKind {
  return Number.isInteger(kind) && (kind as number) >= SpanKind.INTERNAL && (kind as number) <= SpanKind.CONSUMER;
}

/** The numbers of OTLP's `Status.StatusCode`. */
export const StatusCode = { UNSET: 0, OK: 1, ERROR: 2 } as const;
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

/** The library or module that made a span. */
export interface Scope {
  readonly name: string;
  readonly version?: string;
}

export interface SpanEvent {
  readonly name: string;
  readonly time: EpochTime;
  readonly attributes: AttributeList;
  readonly droppedAttributes: number;
}

export interface SpanLink {
  readonly context: SpanContext;
  readonly attributes: AttributeList;
  readonly droppedAttributes: number;
}

/** A span as sinks and encoders see it. */
export interface ReadableSpan {
  readonly scope: Scope;
  readonly context: SpanContext;
  readonly parent: SpanContext | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startTime: EpochTime;
  /** `undefined` while the span is open. */
  readonly endTime: EpochTime | undefined;
  readonly attributes: Readonly<AttributeList>;
  readonly events: readonly SpanEvent[];
  readonly links: readonly SpanLink[];
  readonly statusCode: StatusCode;
  /** Only with {@link StatusCode.ERROR}. */
  readonly statusMessage: string;
  readonly droppedAttributes: number;
  readonly droppedEvents: number;
  readonly droppedLinks: number;
}

/** A link as callers give it. */
export interface LinkInput<L extends Attributes = Attributes> {
  readonly context: SpanContext;
  readonly attributes?: L;
}

/**
 * What code that is being traced holds. `A` are the attributes that its catalogue allows. Every call is safe at any time:
 * after the end, and when nothing is recorded, it does nothing.
 */
export interface Span<A extends Attributes = Attributes, L extends Attributes = Attributes> {
  /** What to hand to children and across boundaries. */
  readonly context: SpanContext;
  /** Whether anything set here is kept: skip work that only serves the span when it is not. */
  readonly isRecording: boolean;
  setAttribute<K extends keyof A & string>(key: K, value: A[K]): void;
  setAttributes(attributes: A): void;
  /** @param time when it happened; now unless given */
  addEvent(name: string, attributes?: Attributes, time?: TimeInput): void;
  /** Adds a cause that was not known at the start. */
  addLink(link: LinkInput<L>): void;
  /**
   * OK beats ERROR beats UNSET, and OK is final (OpenTelemetry API specification, "Set Status").
   * @param message exported as it stands, and only with ERROR: it must not quote content
   */
  setStatus(code: StatusCode, message?: string): void;
  /** Adds an event named `exception`. The exception's own text is left out unless the tracer captures content. */
  recordException(exception: unknown, time?: TimeInput): void;
  updateName(name: string): void;
  /** Ends the span; the first end counts. An end before the start is set to the start. */
  end(time?: TimeInput): void;
}

/** What every span of one tracer shares. */
export interface SpanSettings {
  readonly scope: Scope;
  readonly clock: Clock;
  readonly sink: SpanSink;
  readonly captureContent: boolean;
  readonly maxEvents: number;
  readonly maxLinks: number;
  readonly attributeRules: AttributeRules;
  readonly eventRules: AttributeRules;
  readonly linkRules: AttributeRules;
  readonly onDiagnostic: OnDiagnostic;
}

const NO_EVENTS: SpanEvent[] = [];
const NO_LINKS: SpanLink[] = [];

/** A span that records. Fields are public for the sinks that read them as {@link ReadableSpan}; code under trace sees {@link Span}. */
export class RecordingSpan implements Span, ReadableSpan {
  readonly context: SpanContext;
  readonly parent: SpanContext | undefined;
  readonly kind: SpanKind;
  readonly startTime: EpochTime;
  readonly attributes: AttributeList = [];
  name: string;
  endTime: EpochTime | undefined = undefined;
  events: SpanEvent[] = NO_EVENTS;
  links: SpanLink[] = NO_LINKS;
  statusCode: StatusCode = StatusCode.UNSET;
  statusMessage = "";
  droppedAttributes = 0;
  droppedEvents = 0;
  droppedLinks = 0;
  readonly #settings: SpanSettings;

  constructor(
    settings: SpanSettings,
    context: SpanContext,
    parent: SpanContext | undefined,
    name: string,
    kind: SpanKind,
    startTime: EpochTime,
  ) {
    this.#settings = settings;
    this.context = context;
    this.parent = parent;
    this.name = textOf(name);
    this.kind = kind;
    this.startTime = startTime;
  }

  /** Takes up a span where its {@link OpenSpan} left off. */
  static resume(settings: SpanSettings, open: OpenSpan): RecordingSpan {
    const span = new RecordingSpan(settings, open.context, open.parent, open.name, open.kind, open.startTime);
    for (const item of open.attributes) span.attributes.push(item);
    span.events = [...open.events];
    span.links = [...open.links];
    span.statusCode = open.statusCode;
    span.statusMessage = open.statusMessage;
    span.droppedAttributes = open.droppedAttributes;
    span.droppedEvents = open.droppedEvents;
    span.droppedLinks = open.droppedLinks;
    return span;
  }

  get scope(): Scope {
    return this.#settings.scope;
  }

  get isRecording(): boolean {
    return this.endTime === undefined;
  }

  setAttribute(key: string, value: AttributeValue | undefined): void {
    if (!this.isRecording) return;
    this.droppedAttributes += putAttribute(this.attributes, key, value, this.#settings.attributeRules);
  }

  setAttributes(attributes: Attributes | undefined): void {
    if (!this.isRecording) return;
    this.droppedAttributes += putAttributes(this.attributes, attributes, this.#settings.attributeRules);
  }

  addEvent(name: string, attributes?: Attributes, time?: TimeInput): void {
    if (!this.isRecording) return;
    if (this.events.length >= this.#settings.maxEvents) {
      this.droppedEvents++;
      return;
    }
    const list: AttributeList = [];
    const droppedAttributes = putAttributes(list, attributes, this.#settings.eventRules);
    const event = { name: textOf(name), time: timeOf(this.#settings, time), attributes: list, droppedAttributes };
    // A first `push` makes room for 17, in V8: most spans have one event.
    if (this.events === NO_EVENTS) this.events = [event];
    else this.events.push(event);
  }

  addLink(link: LinkInput): void {
    if (!this.isRecording) return;
    const context = checkContext(link?.context);
    if (context === undefined || this.links.length >= this.#settings.maxLinks) {
      this.droppedLinks++;
      return;
    }
    const list: AttributeList = [];
    const droppedAttributes = putAttributes(list, link.attributes, this.#settings.linkRules);
    const kept = { context, attributes: list, droppedAttributes };
    if (this.links === NO_LINKS) this.links = [kept];
    else this.links.push(kept);
  }

  setStatus(code: StatusCode, message = ""): void {
    const isKnown = code === StatusCode.OK || code === StatusCode.ERROR;
    if (!this.isRecording || !isKnown || this.statusCode === StatusCode.OK) return;
    this.statusCode = code;
    this.statusMessage = code === StatusCode.ERROR ? textOf(message) : "";
  }

  recordException(exception: unknown, time?: TimeInput): void {
    this.addEvent("exception", describeException(exception, this.#settings.captureContent), time);
  }

  updateName(name: string): void {
    if (this.isRecording) this.name = textOf(name);
  }

  end(time?: TimeInput): void {
    if (!this.isRecording) return;
    const end = timeOf(this.#settings, time);
    this.endTime = compareTimes(end, this.startTime) < 0 ? this.startTime : end;
    const { droppedEvents, droppedLinks } = this;
    let { droppedAttributes } = this;
    for (const event of this.events) droppedAttributes += event.droppedAttributes;
    for (const link of this.links) droppedAttributes += link.droppedAttributes;
    if (droppedAttributes + droppedEvents + droppedLinks > 0) {
      const { onDiagnostic } = this.#settings;
      onDiagnostic({ type: "span_limits", span: this.name, droppedAttributes, droppedEvents, droppedLinks });
    }
    this.#settings.sink.onEnd(this);
  }
}

/** The time that a caller gives, or now where that is none. */
export function timeOf({ clock }: SpanSettings, given: TimeInput | undefined): EpochTime {
  return (given == null ? undefined : toEpochTime(given)) ?? clock();
}

/** A span that keeps nothing and passes its context on: when tracing is off, or the trace is not sampled. */
export class PassThroughSpan implements Span {
  readonly context: SpanContext;
  readonly isRecording = false;

  constructor(context: SpanContext) {
    this.context = context;
  }

  setAttribute(): void {}
  setAttributes(): void {}
  addEvent(): void {}
  addLink(): void {}
  setStatus(): void {}
  recordException(): void {}
  updateName(): void {}
  end(): void {}
}
