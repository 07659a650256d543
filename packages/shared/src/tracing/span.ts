import {
  type AttributeList,
  type AttributeRules,
  type Attributes,
  type AttributeValue,
  putAttribute,
  putAttributes,
  textOf,
  withList,
} from "./attributes.ts";
import { ERROR, OK, UNSET } from "./codes.ts";
import { checkContext, type SpanContext } from "./context.ts";
import type { OnDiagnostic } from "./diagnostics.ts";
import { describeException } from "./exception.ts";
import type { SpanLimits } from "./limits.ts";
import type { OpenSpan, ReadableSpan, Scope, SpanEvent, SpanKind, SpanLink, StatusCode } from "./readable-span.ts";
import type { SpanProcessor } from "./span-processor.ts";
import { type Clock, compareTimes, type EpochTime, type TimeInput, toEpochTime } from "./time.ts";

/** A link as callers pass it. */
export interface LinkInput<L extends Attributes = Attributes> {
  readonly context: SpanContext;
  readonly attributes?: L;
}

/**
 * A span as instrumented code sees it. `A` are the attributes that its catalogue allows. Every method is safe at any time: after
 * the end, and if the span is not recording, it does nothing.
 */
export interface Span<A extends Attributes = Attributes, L extends Attributes = Attributes> {
  /** The context to pass to children and to propagate across process boundaries. */
  readonly context: SpanContext;
  /** Whether the span records. If not, callers can skip work that only serves the span. */
  readonly isRecording: boolean;
  setAttribute<K extends keyof A & string>(key: K, value: A[K]): void;
  setAttributes(attributes: A): void;
  /** @param time when it happened; now by default */
  addEvent(name: string, attributes?: Attributes, time?: TimeInput): void;
  /** Adds a link that was not known at the start. */
  addLink(link: LinkInput<L>): void;
  /**
   * OK beats ERROR beats UNSET, and OK is final (OpenTelemetry API specification, "Set Status").
   * @param message exported as it stands, and only with ERROR: it must not quote content
   */
  setStatus(code: StatusCode, message?: string): void;
  /** Adds an event named `exception`, without the exception's message unless the tracer captures content. */
  recordException(exception: unknown, time?: TimeInput): void;
  updateName(name: string): void;
  /** Ends the span; the first end counts. An end before the start is set to the start. */
  end(time?: TimeInput): void;
}

/** What every span of one tracer shares. */
export interface SpanSettings extends SpanLimits, AttributeRules {
  readonly scope: Scope;
  readonly clock: Clock;
  /** Calls the processor. */
  readonly notify: (call: keyof SpanProcessor, span: ReadableSpan) => void;
  readonly captureContent: boolean;
  readonly doubleKeys: ReadonlySet<string> | undefined;
  readonly onDiagnostic: OnDiagnostic;
}

/** The seconds of the end of a span that has not ended; no time is before 1970. */
const OPEN = -1;
/** The shared empty list of spans without events or links. */
const NONE: never[] = [];

/** A recording span. Its fields are public for processors, which read {@link ReadableSpan}; instrumented code sees {@link Span}. */
export class RecordingSpan implements Span, ReadableSpan {
  declare readonly context: SpanContext;
  declare readonly parent: SpanContext | undefined;
  declare readonly kind: SpanKind;
  declare readonly startTime: EpochTime;
  declare name: string;
  readonly attributes: AttributeList = [];
  events: SpanEvent[] = NONE;
  declare links: SpanLink[];
  declare statusCode: StatusCode;
  declare statusMessage: string;
  declare droppedAttributes: number;
  declare droppedEvents: number;
  declare droppedLinks: number;
  readonly #settings: SpanSettings;
  // As two fields, since ended spans are kept until they are exported, and an object takes 32 bytes more in Bun.
  #endSeconds = OPEN;
  #endNanos = 0;

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

  /** Continues a span from its {@link OpenSpan}. */
  static resume(settings: SpanSettings, open: OpenSpan): RecordingSpan {
    const span = new RecordingSpan(settings, open.context, open.parent, open.name, open.kind, open.startTime);
    const { attributes, events, links, statusCode, statusMessage, droppedAttributes, droppedEvents, droppedLinks } =
      open;
    const lists = { attributes: [...attributes], events: [...events], links: [...links] };
    return Object.assign(span, lists, { statusCode, statusMessage, droppedAttributes, droppedEvents, droppedLinks });
  }

  static {
    // What few spans have takes no memory in the others.
    const rare = {
      links: NONE,
      statusCode: UNSET,
      statusMessage: "",
      droppedAttributes: 0,
      droppedEvents: 0,
      droppedLinks: 0,
    };
    Object.assign(RecordingSpan.prototype, rare);
  }

  get scope(): Scope {
    return this.#settings.scope;
  }

  get doubleKeys(): ReadonlySet<string> | undefined {
    return this.#settings.doubleKeys;
  }

  get endTime(): EpochTime | undefined {
    return this.isRecording ? undefined : { seconds: this.#endSeconds, nanos: this.#endNanos };
  }

  get isRecording(): boolean {
    return this.#endSeconds === OPEN;
  }

  setAttribute(key: string, value: AttributeValue | undefined): void {
    if (!this.isRecording) return;
    countDropped(this, putAttribute(this.attributes, key, value, this.#settings, this.#settings.attributes));
  }

  setAttributes(attributes: Attributes | undefined): void {
    if (!this.isRecording) return;
    countDropped(this, putAttributes(this.attributes, attributes, this.#settings, this.#settings.attributes));
  }

  addEvent(name: string, attributes?: Attributes, time?: TimeInput): void {
    if (!this.isRecording) return;
    const settings = this.#settings;
    if (this.events.length >= settings.events) {
      this.droppedEvents++;
      return;
    }
    const empty = { name: textOf(name), time: timeOf(settings, time), attributes: NONE, droppedAttributes: 0 };
    // Before the list is read: a getter may record an event, too.
    const event = withList(empty, attributes, settings, settings.attributesPerEvent);
    this.events = append(this.events, event);
  }

  addLink(link: LinkInput): void {
    if (!this.isRecording) return;
    const settings = this.#settings;
    const context = checkContext(link?.context);
    if (!context || this.links.length >= settings.links) {
      this.droppedLinks++;
      return;
    }
    const empty = { context, attributes: NONE, droppedAttributes: 0 };
    const made = withList(empty, link.attributes, settings, settings.attributesPerLink);
    this.links = append(this.links, made);
  }

  setStatus(code: StatusCode, message = ""): void {
    if (!this.isRecording || this.statusCode === OK || (code !== OK && code !== ERROR)) return;
    this.statusCode = code;
    this.statusMessage = code === ERROR ? textOf(message) : "";
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
    const { seconds, nanos } = compareTimes(end, this.startTime) < 0 ? this.startTime : end;
    this.#endSeconds = seconds;
    this.#endNanos = nanos;
    const { name, droppedEvents, droppedLinks } = this;
    const { onDiagnostic, notify } = this.#settings;
    const droppedAttributes = this.links.reduce(addDropped, this.events.reduce(addDropped, this.droppedAttributes));
    if (droppedAttributes + droppedEvents + droppedLinks > 0) {
      onDiagnostic({ type: "span_limits", span: name, droppedAttributes, droppedEvents, droppedLinks });
    }
    notify("onEnd", this);
  }
}

/** No private method of the class: in V8 one takes a field of each object. */
function countDropped(span: RecordingSpan, attributes: number): void {
  if (attributes > 0) span.droppedAttributes += attributes;
}

/** Appends an item. In V8 the first `push` allocates room for 17 items, and most spans have one event. */
function append<T>(list: T[], item: T): T[] {
  if (list.length === 0) return [item];
  list.push(item);
  return list;
}

function addDropped(sum: number, { droppedAttributes }: SpanEvent | SpanLink): number {
  return sum + droppedAttributes;
}

/** Returns the given time, or now if it is missing or invalid. */
export function timeOf({ clock }: SpanSettings, given: TimeInput | undefined): EpochTime {
  return (given == null ? undefined : toEpochTime(given)) ?? clock();
}

/** A non-recording span that propagates its context: tracing is off, or the sampler dropped the span. */
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
