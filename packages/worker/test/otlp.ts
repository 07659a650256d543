import { type Attributes, encodeTraces, type ReadableSpan, type SpanContext, Tracer } from "@valet/shared/tracing";

export const SESSION = "ses_test";
const SCOPE = { name: "test" };

interface MadeSpan {
  name?: string;
  parent?: SpanContext;
  attributes?: Attributes;
  sampled?: boolean;
  sessionId?: string;
  /** Epoch milliseconds. */
  start?: number;
  end?: number;
}

/** Returns ended spans of a session, as the runner creates them. */
export function makeSpans(...spans: MadeSpan[]): ReadableSpan[] {
  const ended: ReadableSpan[] = [];
  for (const { name = "work", sampled = true, sessionId = SESSION, ...rest } of spans) {
    const tracer = new Tracer({
      scope: SCOPE,
      processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
      sampler: () => ({ decision: sampled ? "sample" : "record" }),
    });
    const attributes = { "valet.session.id": sessionId, ...rest.attributes };
    tracer.startSpan(name, { parent: rest.parent, startTime: rest.start, attributes }).end(rest.end);
  }
  return ended;
}

/** Returns the OTLP text of a span frame with these spans. */
export function makeFrame(...spans: MadeSpan[]): string {
  return encodeTraces({ "service.name": "valet-runner" }, makeSpans(...spans));
}

interface WireAttribute {
  key: string;
  value: Record<string, unknown>;
}

export interface WireSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano?: string;
  attributes?: WireAttribute[];
  events?: { name: string; attributes?: WireAttribute[] }[];
  links?: { traceId: string; spanId: string; attributes?: WireAttribute[] }[];
  status: { code: number; message?: string };
}

/** Returns the spans of a request, of any resource. */
export function spansOf(text: string | undefined): WireSpan[] {
  if (text === undefined) return [];
  const { resourceSpans } = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: WireSpan[] }[] }[] };
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

/** Returns the value of a span's attribute as text. */
export function attributeOf(span: WireSpan | undefined, key: string): string | undefined {
  const value = span?.attributes?.find((each) => each.key === key)?.value;
  return value === undefined ? undefined : String(Object.values(value)[0]);
}

/** Returns a span's attributes with values as text. */
export function attributesOf(span: WireSpan | undefined): Record<string, string> {
  const entries = span?.attributes?.map(({ key, value }) => [key, String(Object.values(value)[0])]) ?? [];
  return Object.fromEntries(entries);
}
