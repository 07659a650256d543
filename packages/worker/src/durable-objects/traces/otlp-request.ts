/**
 * Reads OTLP/JSON from other processes before it is stored with the object's own: one span that a backend cannot decode
 * would lose the whole segment. Pure.
 */

import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { OUTCOMES, type Outcome } from "@valet/shared/spans";
import { saidMs } from "../core/iso-time.ts";
import { asAdopted, isAdoptedResource, isAdoptedSpan } from "./adopted-spans.ts";
import {
  type Fields,
  field,
  isAttributed,
  isHex,
  isObject,
  isScope,
  isSpan,
  isSpanIdText,
  list,
} from "./otlp-checks.ts";
import { isOwnSpan, type NamingLimits } from "./own-span.ts";
import { partialCostOf, usageOf } from "./span-usage.ts";

/** The spans of a request with the same resource and scope, as texts that can be joined again. */
export interface SpanGroup {
  /** As an element of `resourceSpans` has it. */
  readonly resource: string;
  /** As an element of `scopeSpans` has it. */
  readonly scope: string;
  /** Whether they are of another program of the sandbox, which must not decide anything. */
  readonly isAdopted: boolean;
  readonly spans: readonly ReceivedSpan[];
}

export interface ReceivedSpan extends SpanFacts {
  /** W3C sampled flag. */
  readonly sampled: boolean;
  /** The parsed span. */
  readonly source: object;
}

/** What the log needs to know about an ended span besides its text. */
export interface SpanFacts extends SkeletonSpan {
  readonly traceId: string;
  readonly endUs: number;
  readonly level: SpanLevel;
}

/**
 * The distance of a span from the root of its trace: 0 is the root itself, 1 has a parent in another process, 2 in its
 * own.
 */
export type SpanLevel = 0 | 1 | 2;

/** Returns the level of a span, given its parent. */
export function levelOf(parent: { readonly isRemote: boolean } | undefined): SpanLevel {
  if (parent === undefined) return 0;
  return parent.isRemote ? 1 : 2;
}

export interface ReadRequest {
  readonly groups: readonly SpanGroup[];
  /** How many spans were malformed or another session's, and were dropped. */
  readonly refused: number;
  /** Those of them that can be named. */
  readonly refusedIds: readonly SpanIds[];
}

/** What identifies a span. */
interface SpanIds {
  readonly traceId: string;
  readonly spanId: string;
}

const SAMPLED = 0x01;
/** `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` of trace.proto. */
const PARENT_IS_REMOTE = 0x200;
const STATUS_ERROR = 2;
/** The maximum length of a resource, and of a scope, in characters: they may be stored with every span. */
const MAX_ORIGIN_LENGTH = 16 * 1024;

/**
 * Reads an `ExportTraceServiceRequest`. Drops and counts spans that are malformed or not known to be this session's;
 * keeps the others. Returns `undefined` when the text is not such a request.
 */
export function readRequest(text: string, sessionId: string, limits?: NamingLimits): ReadRequest | undefined {
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch {
    return undefined;
  }
  const resourceSpans = field(request, "resourceSpans");
  if (!Array.isArray(resourceSpans)) return undefined;
  const groups: SpanGroup[] = [];
  let refused = 0;
  const refusedIds: SpanIds[] = [];
  for (const each of resourceSpans) {
    const resource = resourceText(field(each, "resource"));
    const isAdopted = isAdoptedResource(field(each, "resource"));
    for (const scopeSpans of list(field(each, "scopeSpans"))) {
      const scope = scopeText(field(scopeSpans, "scope"));
      const received = list(field(scopeSpans, "spans"));
      const isGood = (span: unknown) => isSpan(span) && isOf(span, sessionId, limits);
      const good = resource !== undefined && scope !== undefined ? received.filter(isGood) : [];
      refused += received.length - good.length;
      if (good.length < received.length) {
        const kept = new Set(good);
        for (const span of received) if (!kept.has(span) && isNamed(span)) refusedIds.push(idsOf(span));
      }
      if (resource === undefined || scope === undefined || good.length === 0) continue;
      groups.push({
        resource,
        scope,
        isAdopted,
        spans: good.map((span) => (isAdopted ? asAdopted(toReceived(span)) : toReceived(span))),
      });
    }
  }
  return { groups, refused, refusedIds };
}

function isNamed(span: unknown): span is SpanIds {
  return isObject(span) && isHex(span.traceId, 32) && isSpanIdText(span.spanId);
}

const idsOf = ({ traceId, spanId }: SpanIds): SpanIds => ({ traceId, spanId });

/** Returns received spans as text for a `spans` array, without the brackets. */
export function writeSpans(spans: readonly ReceivedSpan[]): string {
  return JSON.stringify(spans.map(({ source }) => source)).slice(1, -1);
}

/** Returns a resource or a scope as text, with its known fields only. */
function originText(origin: Fields, check: (origin: Fields) => boolean): string | undefined {
  if (!check(origin)) return undefined;
  const text = JSON.stringify(origin);
  return text.length > MAX_ORIGIN_LENGTH ? undefined : text;
}

function resourceText(resource: unknown): string | undefined {
  if (resource !== undefined && !isObject(resource)) return undefined;
  // Some backends crash when attributes are absent.
  const attributes = field(resource, "attributes") ?? [];
  return originText({ attributes, droppedAttributesCount: field(resource, "droppedAttributesCount") }, isAttributed);
}

function scopeText(scope: unknown): string | undefined {
  if (scope !== undefined && !isObject(scope)) return undefined;
  const [attributes, droppedAttributesCount] = [field(scope, "attributes"), field(scope, "droppedAttributesCount")];
  const name = field(scope, "name") ?? "";
  return originText({ name, version: field(scope, "version"), attributes, droppedAttributesCount }, isScope);
}

interface CheckedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  flags?: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status?: { code?: number };
  kind?: number;
  attributes?: CheckedAttribute[];
  links?: { traceId: string; spanId: string; attributes?: CheckedAttribute[] }[];
}

interface CheckedAttribute {
  key: string;
  value: { stringValue?: string; boolValue?: boolean; intValue?: string | number; doubleValue?: number | string };
}

function toReceived(span: unknown): ReceivedSpan {
  const { traceId, spanId, parentSpanId, name, kind = 0, flags = 0, status, ...rest } = span as CheckedSpan;
  const { attributes = [], links = [], ...times } = rest;
  const outcome = outcomeOf(textIn(attributes, "valet.outcome"));
  const received: ReceivedSpan = {
    traceId,
    spanId,
    parentSpanId,
    name,
    kind,
    outcome,
    isSealed: attributes.some(({ key }) => key === SEALED_KEY),
    lastSeenMs: saidMs(numberIn(attributes, SEALED_KEY)),
    usage: usageOf(name, (key) => numberIn(attributes, key)),
    ...partialCostOf({ name, outcome }, (key) => valueIn(attributes, key)),
    links: links.map((link) => ({
      traceId: link.traceId,
      spanId: link.spanId,
      type: textIn(link.attributes ?? [], "valet.link.type"),
    })),
    startUs: toMicros(times.startTimeUnixNano),
    endUs: Math.max(toMicros(times.startTimeUnixNano), toMicros(times.endTimeUnixNano)),
    isError: status?.code === STATUS_ERROR,
    level: levelOf(parentSpanId === undefined ? undefined : { isRemote: (flags & PARENT_IS_REMOTE) !== 0 }),
    sampled: (flags & SAMPLED) !== 0,
    source: span as object,
  };
  return isAdoptedSpan(attributes) ? asAdopted(received) : received;
}

/** The attribute of ended spans that the object has ended in their runner's place. */
export const SEALED_KEY = "valet.last_seen_ms";

/** What a received span says of its seal: the `error.type`, and the last sign of life of the process that had it open, epoch ms. */
export function sealOf({ source, lastSeenMs }: ReceivedSpan): {
  readonly cause: string | null;
  readonly lastFrameMs: number | null;
} {
  const { attributes = [] } = source as CheckedSpan;
  return { cause: textIn(attributes, "error.type") ?? null, lastFrameMs: lastSeenMs ?? null };
}

function textIn(attributes: readonly CheckedAttribute[], key: string): string | undefined {
  return attributes.find((each) => each.key === key)?.value.stringValue;
}

function numberIn(attributes: readonly CheckedAttribute[], key: string): number | undefined {
  const { intValue, doubleValue } = attributes.find((each) => each.key === key)?.value ?? {};
  const value = Number(intValue ?? doubleValue ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

/** Returns a text, a truth value or a finite number; `undefined` for other values. */
function valueIn(attributes: readonly CheckedAttribute[], key: string): string | boolean | number | undefined {
  const { stringValue, boolValue } = attributes.find((each) => each.key === key)?.value ?? {};
  return stringValue ?? boolValue ?? numberIn(attributes, key);
}

/** Returns an outcome; `undefined` for other values. */
export function outcomeOf(value: unknown): Outcome | undefined {
  return OUTCOMES.find((outcome) => outcome === value);
}

/** Returns stored spans. @param body the spans as comma-separated texts */
export function readStored(body: string): ReceivedSpan[] {
  return (JSON.parse(`[${body}]`) as unknown[]).map(toReceived);
}

/** Converts to microseconds, which a double represents exactly until the year 2255. */
function toMicros(nanos: string): number {
  return Number(nanos.slice(0, -3));
}

function isOf(span: unknown, sessionId: string, limits: NamingLimits | undefined): boolean {
  const { attributes = [] } = span as CheckedSpan;
  const values = attributes.filter(({ key }) => key === "valet.session.id").map(({ value }) => value.stringValue);
  return isOwnSpan(values, attributes.length, sessionId, limits);
}
