/** Reads spans of OTLP/JSON, as the API gives them. Whatever is not as it should be is left out. Pure. */

export interface OtlpAttribute {
  readonly key: string;
  readonly value: string;
}

interface OtlpEvent {
  readonly name: string;
  /** Epoch ms, with fractions. */
  readonly atMs: number;
  readonly attributes: readonly OtlpAttribute[];
}

export interface OtlpSpan {
  readonly spanId: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly events: readonly OtlpEvent[];
  readonly statusMessage: string | undefined;
  /** `service.name` of its resource. */
  readonly service: string | undefined;
  /** The request that has this span alone, to be copied. */
  readonly raw: object;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

/** Returns the spans by their ids. @param resourceSpans of a `TraceView` */
export function readOtlp(resourceSpans: readonly unknown[]): Map<string, OtlpSpan> {
  const spans = new Map<string, OtlpSpan>();
  for (const group of resourceSpans.map(fieldsOf)) {
    const service = attributesOf(fieldsOf(group.resource).attributes).get("service.name");
    for (const inner of listOf(group.scopeSpans)) {
      for (const span of listOf(inner.spans)) {
        const { spanId } = span;
        if (typeof spanId !== "string") continue;
        const message = fieldsOf(span.status).message;
        spans.set(spanId, {
          spanId,
          attributes: attributesOf(span.attributes),
          events: listOf(span.events).map(eventOf),
          statusMessage: typeof message === "string" && message !== "" ? message : undefined,
          service,
          raw: { resourceSpans: [{ ...group, scopeSpans: [{ ...inner, spans: [span] }] }] },
        });
      }
    }
  }
  return spans;
}

function eventOf({ name, timeUnixNano, attributes }: Fields): OtlpEvent {
  return {
    name: typeof name === "string" ? name : "",
    atMs: Number(timeUnixNano) / 1e6,
    attributes: Array.from(attributesOf(attributes), ([key, value]) => ({ key, value })),
  };
}

function attributesOf(list: unknown): Map<string, string> {
  const found = new Map<string, string>();
  for (const { key, value } of listOf(list)) if (typeof key === "string") found.set(key, valueText(value));
  return found;
}

/** Returns an `AnyValue` as text: a text as it is, a list or a map as JSON. */
function valueText(value: unknown): string {
  const plain = plainValue(value);
  return typeof plain === "object" && plain !== null ? JSON.stringify(plain) : String(plain ?? "");
}

function plainValue(value: unknown): unknown {
  const { arrayValue, kvlistValue, ...single } = fieldsOf(value);
  if (arrayValue !== undefined) return listOf(fieldsOf(arrayValue).values).map(plainValue);
  if (kvlistValue !== undefined) {
    const entries = listOf(fieldsOf(kvlistValue).values).map(({ key, value }) => [String(key), plainValue(value)]);
    return Object.fromEntries(entries);
  }
  return Object.values(single)[0];
}

/** Returns an attribute that is a finite number. */
export function numberOf(span: OtlpSpan | undefined, key: string): number | undefined {
  const text = span?.attributes.get(key);
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}
