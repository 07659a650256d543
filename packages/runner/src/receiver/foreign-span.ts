/** Turns a span that an agent's command sent into the text that the runner stores and sends, as it does with its own spans. Pure. */
import { ADOPTED_KEY, SERVICES, type SessionAttributes } from "@valet/shared/spans";
import { isSampled, isValidSpanId, isValidTraceId } from "@valet/shared/tracing";
import {
  type CleanOptions,
  cleanAttributes,
  cleanText,
  type ValueLimits,
  type WireAttribute,
  type WireAttributes,
} from "./clean-values.ts";
import { type Placement, placeLink, placeSpan, type SpanIds, type Surroundings } from "./placement.ts";
import type { InstrumentationScope } from "./proto/opentelemetry/proto/common/v1/common_pb.js";
import type { Resource } from "./proto/opentelemetry/proto/resource/v1/resource_pb.js";
import type { Span, Span_Event, Span_Link } from "./proto/opentelemetry/proto/trace/v1/trace_pb.js";

export interface ForeignLimits extends ValueLimits {
  readonly events: number;
  readonly links: number;
  readonly attributesPerEvent: number;
  readonly attributesPerLink: number;
}

export interface ForeignOptions extends CleanOptions, Surroundings {
  readonly limits: ForeignLimits;
  /** The attributes by which the spans of the session are recognised. */
  readonly session: SessionAttributes;
  /** Nanoseconds since 1970. */
  readonly nowNs: bigint;
}

/** Why a span is not taken. */
export type Refusal = "invalid_id" | "invalid_time" | "too_large";

export type Converted = { readonly text: string } | { readonly refused: Refusal };

/** The maximum length of a span's text, in UTF-16 code units. */
const MAX_SPAN_LENGTH = 48 * 1024;
/** And of its resource, and of its scope. The object refuses more than 16 Ki. */
const MAX_ORIGIN_LENGTH = 8 * 1024;
const MAX_NAME_LENGTH = 512;
/** How far a span's times may lie before its call's start, and after now. */
const CLOCK_TOLERANCE_NS = 1_000_000_000n;
const INTERNAL = 1;
const MAX_KIND = 5;
const ERROR = 2;
const SAMPLED = 0x01;
/** `SpanFlags` of trace.proto. */
const [HAS_IS_REMOTE, IS_REMOTE] = [0x100, 0x200];
const MAX_UINT32 = 2 ** 32 - 1;

/** Returns the span's ids as text; `undefined` if one is invalid or the span is its own parent. */
export function idsOf(span: Span): SpanIds | undefined {
  const [traceId, spanId, parentSpanId] = [span.traceId, span.spanId, span.parentSpanId].map(toHex);
  if (!isValidTraceId(traceId) || !isValidSpanId(spanId) || parentSpanId === spanId) return undefined;
  // Some exporters write zeros for a root.
  const isRoot = parentSpanId === undefined || /^0*$/.test(parentSpanId);
  if (!isRoot && !isValidSpanId(parentSpanId)) return undefined;
  return {
    traceId,
    spanId,
    parentSpanId: isRoot ? undefined : parentSpanId,
    isParentRemote: !isRoot && (span.flags & IS_REMOTE) !== 0,
    startNs: span.startTimeUnixNano,
  };
}

/** @param ids of this span */
export function convertSpan(span: Span, ids: SpanIds, options: ForeignOptions): Converted {
  const { call, nowNs, session, limits } = options;
  const { startTimeUnixNano: startNs, endTimeUnixNano: endNs } = span;
  const isOutside = startNs + CLOCK_TOLERANCE_NS < call.startNs || endNs > nowNs + CLOCK_TOLERANCE_NS;
  if (isOutside || endNs < startNs) return { refused: "invalid_time" };
  const placed = placeSpan(ids, options);
  const own: WireAttribute[] = Object.entries(session).map(([key, value]) => ({ key, value: wireOf(value) }));
  if (placed.adoptedTraceId !== undefined) own.push(adoptedFrom(placed.adoptedTraceId));
  // Valet's own have a place in any case.
  const room = { ...limits, attributes: Math.max(0, limits.attributes - own.length) };
  const { attributes, droppedAttributesCount } = cleanAttributes(span.attributes, room, options);
  const events = span.events.slice(0, limits.events);
  const links = span.links
    .slice(0, Math.max(0, limits.links - 1))
    .flatMap((link) => convertLink(link, ids, placed, options));
  if (placed.causedBy !== undefined) links.push(causeLink(placed));
  const text = JSON.stringify({
    traceId: placed.traceId,
    spanId: ids.spanId,
    ...(call.context.traceState !== "" && { traceState: call.context.traceState }),
    ...(placed.parentSpanId !== undefined && { parentSpanId: placed.parentSpanId }),
    flags: flagsOf(isSampled(call.context), placed.isParentRemote),
    name: nameOf(span, options),
    kind: span.kind >= INTERNAL && span.kind <= MAX_KIND ? span.kind : INTERNAL,
    startTimeUnixNano: startNs.toString(),
    endTimeUnixNano: endNs.toString(),
    attributes: [...own, ...attributes],
    ...count("droppedAttributesCount", span.droppedAttributesCount + droppedAttributesCount),
    ...(events.length > 0 && { events: events.map((event) => convertEvent(event, options)) }),
    ...count("droppedEventsCount", span.droppedEventsCount + span.events.length - events.length),
    ...(links.length > 0 && { links }),
    ...count(
      "droppedLinksCount",
      span.droppedLinksCount + span.links.length + Number(placed.causedBy !== undefined) - links.length,
    ),
    status: statusOf(span, options),
  });
  return text.length > MAX_SPAN_LENGTH ? { refused: "too_large" } : { text };
}

/**
 * Returns the resource of a program as text. It keeps its name, unless that is one of Valet's own services, and is marked as
 * adopted. What is too long keeps its name only.
 */
export function convertResource(
  resource: Resource | undefined,
  options: Pick<ForeignOptions, "limits"> & CleanOptions,
): string {
  const { limits } = options;
  const room = { ...limits, attributes: limits.attributes - 1 };
  const clean = cleanAttributes(resource?.attributes ?? [], room, options);
  const name = clean.attributes.find(({ key }) => key === "service.name");
  const isOwn = name === undefined || SERVICES.some((each) => each === name.value.stringValue);
  const named = isOwn ? { key: "service.name", value: { stringValue: "unknown_service" } } : name;
  const mark = { key: ADOPTED_KEY, value: { boolValue: true } };
  const others = clean.attributes.filter((each) => each !== name);
  const dropped = (resource?.droppedAttributesCount ?? 0) + clean.droppedAttributesCount;
  const text = JSON.stringify({ attributes: [named, mark, ...others], ...count("droppedAttributesCount", dropped) });
  if (text.length <= MAX_ORIGIN_LENGTH) return text;
  return JSON.stringify({
    attributes: [shortened(named), mark],
    ...count("droppedAttributesCount", dropped + others.length),
  });
}

/** Returns an instrumentation scope as text. */
export function convertScope(
  scope: InstrumentationScope | undefined,
  options: Pick<ForeignOptions, "limits"> & CleanOptions,
): string {
  const name = cleanText(scope?.name ?? "", MAX_NAME_LENGTH, options);
  const version = cleanText(scope?.version ?? "", MAX_NAME_LENGTH, options);
  const named = { name, ...(version !== "" && { version }) };
  const text = JSON.stringify({
    ...named,
    ...attributed(cleanAttributes(scope?.attributes ?? [], options.limits, options)),
  });
  return text.length <= MAX_ORIGIN_LENGTH ? text : JSON.stringify(named);
}

function shortened({ key, value }: WireAttribute): WireAttribute {
  const { stringValue } = value;
  const text = typeof stringValue === "string" ? stringValue : "unknown_service";
  return { key, value: { stringValue: text.slice(0, MAX_NAME_LENGTH).toWellFormed() } };
}

function convertEvent(event: Span_Event, options: ForeignOptions) {
  const room = { ...options.limits, attributes: options.limits.attributesPerEvent };
  return {
    timeUnixNano: event.timeUnixNano.toString(),
    name: cleanText(event.name, MAX_NAME_LENGTH, options),
    ...attributed(cleanAttributes(event.attributes, room, options), event.droppedAttributesCount),
  };
}

/** A link with an invalid id is left out, since a backend would refuse the whole request for it. */
function convertLink(link: Span_Link, { traceId }: SpanIds, placed: Placement, options: ForeignOptions): object[] {
  const [linked, spanId] = [link.traceId, link.spanId].map(toHex);
  if (!isValidTraceId(linked) || !isValidSpanId(spanId)) return [];
  const to = placeLink(linked, traceId, options, placed.traceId);
  const room = { ...options.limits, attributes: options.limits.attributesPerLink - 1 };
  const clean = cleanAttributes(link.attributes, room, options);
  const own = to.adoptedTraceId === undefined ? [] : [adoptedFrom(to.adoptedTraceId)];
  const attributes = { ...clean, attributes: [...own, ...clean.attributes] };
  return [
    {
      traceId: to.traceId,
      spanId,
      flags: flagsOf(isSampled(options.call.context), (link.flags & IS_REMOTE) !== 0),
      ...attributed(attributes, link.droppedAttributesCount),
    },
  ];
}

/** The link of a span that outlived its call. */
function causeLink({ causedBy }: Placement): object {
  const { traceId = "", spanId = "", traceFlags = 0 } = causedBy ?? {};
  const type = { key: "valet.link.type", value: { stringValue: "caused_by" } };
  return { traceId, spanId, flags: flagsOf((traceFlags & SAMPLED) !== 0, true), attributes: [type] };
}

/** Names that begin like Valet's own are marked, so that nobody takes the span for one. */
function nameOf({ name }: Span, options: ForeignOptions): string {
  const clean = cleanText(name, MAX_NAME_LENGTH, options);
  return clean.startsWith("valet.") ? `foreign ${clean}` : clean;
}

function statusOf({ status }: Span, options: ForeignOptions): object {
  const code = status?.code === 1 || status?.code === ERROR ? status.code : 0;
  // An SDK writes an exception's message there.
  const message =
    code === ERROR && options.captureContent
      ? cleanText(status?.message ?? "", options.limits.attributeValueLength, options)
      : "";
  return { code, ...(message !== "" && { message }) };
}

function attributed({ attributes, droppedAttributesCount }: WireAttributes, dropped = 0): object {
  return {
    ...(attributes.length > 0 && { attributes }),
    ...count("droppedAttributesCount", dropped + droppedAttributesCount),
  };
}

function adoptedFrom(traceId: string): WireAttribute {
  return { key: "valet.adopted.trace_id", value: { stringValue: traceId } };
}

function wireOf(value: string | number): WireAttribute["value"] {
  return typeof value === "number" ? { intValue: String(value) } : { stringValue: value };
}

function flagsOf(sampled: boolean, isRemote: boolean): number {
  return (sampled ? SAMPLED : 0) | HAS_IS_REMOTE | (isRemote ? IS_REMOTE : 0);
}

function count(key: string, value: number): object {
  return value === 0 ? {} : { [key]: Math.min(value, MAX_UINT32) };
}

/** @returns `undefined` for no bytes */
function toHex(bytes: Uint8Array): string | undefined {
  return bytes.length === 0 ? undefined : Buffer.from(bytes).toString("hex");
}
