/** Stored spans as plain data, for the answers that are made from them. Pure. */
import type { AttributeValue, WhyLink, WhySpan } from "@valet/shared/answers/why/spans";
import { SERVICES } from "@valet/shared/spans";
import { isAdoptedResource } from "./adopted-spans.ts";
import { outcomeOf, SEALED_KEY } from "./otlp-request.ts";

/** The three ids of the session are on every span; what reads plain spans knows them. */
const LEFT_OUT: ReadonlySet<string> = new Set(["valet.session.id", "session.id", "gen_ai.conversation.id"]);
/** Longer texts are content, if it is captured; only their beginning is of use. */
const MAX_TEXT = 1000;

interface WireAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface PlainWireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind?: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano?: string;
  readonly attributes?: readonly WireAttribute[];
  readonly events?: readonly {
    readonly name: string;
    readonly timeUnixNano: string;
    readonly attributes?: readonly WireAttribute[];
  }[];
  readonly links?: readonly {
    readonly traceId: string;
    readonly spanId: string;
    readonly attributes?: readonly WireAttribute[];
  }[];
}

interface PlainRequest {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes?: readonly WireAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly PlainWireSpan[] }[];
  }[];
}

/** Returns Valet's own spans of one trace in a request: other programs choose the names of theirs. @param text of a request of the log */
export function plainSpans(text: string, sessionId: string, traceId: string): WhySpan[] {
  const { resourceSpans } = JSON.parse(text) as PlainRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    if (isAdoptedResource(resource)) return [];
    const name = valuesOf(resource?.attributes ?? [])["service.name"];
    const service = SERVICES.find((each) => each === name) ?? null;
    return scopeSpans.flatMap(({ spans }) =>
      spans.flatMap((span) => (span.traceId === traceId ? [plainSpan(span, sessionId, service)] : [])),
    );
  });
}

function plainSpan(span: PlainWireSpan, sessionId: string, service: WhySpan["service"]): WhySpan {
  const attributes = valuesOf(span.attributes ?? []);
  const endMs = span.endTimeUnixNano === undefined ? null : millis(span.endTimeUnixNano);
  return {
    sessionId,
    traceId: span.traceId,
    spanId: span.spanId,
    parentId: span.parentSpanId || null,
    name: span.name,
    kind: span.kind ?? 0,
    startMs: millis(span.startTimeUnixNano),
    endMs,
    outcome: outcomeOf(attributes["valet.outcome"]) ?? null,
    attributes,
    events: mapped(span.events, (event) => ({
      name: event.name,
      atMs: millis(event.timeUnixNano),
      attributes: valuesOf(event.attributes ?? []),
    })),
    links: mapped(span.links, linkOf),
    isSealed: endMs !== null && SEALED_KEY in attributes,
    service,
  };
}

const NONE: readonly never[] = [];

/** Most spans have neither events nor links: they share one empty list. */
function mapped<From, To>(from: readonly From[] = NONE, of: (each: From) => To): readonly To[] {
  return from.length === 0 ? NONE : from.map(of);
}

function linkOf({
  traceId,
  spanId,
  attributes = [],
}: {
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes?: readonly WireAttribute[];
}): WhyLink {
  const type = valuesOf(attributes)["valet.link.type"];
  return { traceId, spanId, type: typeof type === "string" ? type : null };
}

/** Nanoseconds as milliseconds, to the microsecond: the last three digits are dropped, which a double could not hold. */
function millis(nanos: string): number {
  return Number(nanos.slice(0, -3)) / 1000;
}

function valuesOf(attributes: readonly WireAttribute[]): Record<string, AttributeValue> {
  const values: Record<string, AttributeValue> = {};
  for (const { key, value } of attributes) {
    if (LEFT_OUT.has(key)) continue;
    const known = attributeOf(value);
    if (known !== undefined) values[key] = known;
  }
  return values;
}

function attributeOf(value: Readonly<Record<string, unknown>>): AttributeValue | undefined {
  if (typeof value.stringValue === "string") return value.stringValue.slice(0, MAX_TEXT);
  if (typeof value.boolValue === "boolean") return value.boolValue;
  const number = value.intValue ?? value.doubleValue;
  return number === undefined ? undefined : Number(number);
}
