/** The data of a span, as processors, encoders and serialisation read it. */
import type { AttributeList } from "./attributes.ts";
import { CONSUMER, ERROR, INTERNAL, OK, UNSET } from "./codes.ts";
import type { SpanContext } from "./context.ts";
import type { EpochTime } from "./time.ts";

/** The numbers of OTLP's `SpanKind`, which are one above those of the OpenTelemetry API. */
export const SpanKind = { INTERNAL, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export function isSpanKind(kind: unknown): kind is SpanKind {
  return Number.isInteger(kind) && (kind as number) >= INTERNAL && (kind as number) <= CONSUMER;
}

/** The numbers of OTLP's `Status.StatusCode`. */
export const StatusCode = { UNSET, OK, ERROR } as const;
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

/** The instrumentation scope: the library or module that created a span. */
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

/** A span as processors and encoders read it. */
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
  /** Empty unless the status is {@link StatusCode.ERROR}. */
  readonly statusMessage: string;
  readonly droppedAttributes: number;
  readonly droppedEvents: number;
  readonly droppedLinks: number;
  /** Keys of attributes, also of events and links, whose integral numbers are encoded as doubles. None by default. */
  readonly doubleKeys?: ReadonlySet<string> | undefined;
}

/** An open span, independent of its process. The tracer that resumes it supplies scope and `doubleKeys`. */
export type OpenSpan = Omit<ReadableSpan, "scope" | "endTime" | "doubleKeys">;
