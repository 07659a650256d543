/**
 * The skeleton of a trace: what is needed to draw it, without attributes and events, in about 25 bytes a span. It consists of
 * chunks. Each has its columns: a text or a list with a value for each of its spans, in order. If a span is in several chunks, the
 * last one counts: a span that was open has ended since. Pure.
 */
import { z } from "zod";
import { OUTCOMES, type Outcome } from "../spans/outcomes.ts";
import { decodeVlq, encodeVlq } from "./vlq.ts";

export interface SkeletonLink {
  readonly traceId: string;
  readonly spanId: string;
  /** `valet.link.type`. */
  readonly type?: string | undefined;
}

/** A span without attributes and events. */
export interface SkeletonSpan {
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  readonly name: string;
  /** `SpanKind` of OTLP: 1 is internal, 0 unspecified. */
  readonly kind: number;
  /** Microseconds since 1970. */
  readonly startUs: number;
  /** `undefined` while the span is open. */
  readonly endUs?: number | undefined;
  /** `valet.outcome`. */
  readonly outcome?: Outcome | undefined;
  /** Whether its status is an error. */
  readonly isError: boolean;
  /** Whether the session ended it because its runner was lost. */
  readonly isSealed: boolean;
  readonly links: readonly SkeletonLink[];
}

const digits = z.string().regex(/^\d*$/);
const vlq = z.string().regex(/^[A-Za-z0-9+/]*$/);

export const SkeletonChunk = z.object({
  ids: z.string().describe("The span ids of 8 bytes each, together as one base64 text without padding"),
  names: z.array(z.string()).describe("The different names"),
  name: vlq.describe("VLQ: the index of each span's name"),
  kinds: digits.describe("A digit for each span: OTLP's `SpanKind`"),
  parents: z.array(z.string()).describe("The ids of parents that are not in this chunk"),
  parent: vlq.describe("VLQ: 0 for no parent; n for the chunk's span n, from 1; -n for the nth of `parents`, from 1"),
  startUs: z.number().describe("A time in microseconds since 1970"),
  start: vlq.describe(
    "VLQ: each span's start less that of the span before; the first one's less `startUs`. In microseconds",
  ),
  duration: vlq.describe("VLQ: each span's duration in microseconds, plus 1; 0 for an open span"),
  outcomes: digits.describe(
    `A digit for each span: 0 for no outcome, ${OUTCOMES.map((outcome, index) => `${index + 1} for \`${outcome}\``).join(", ")}`,
  ),
  errors: vlq.describe("VLQ: the indexes of spans whose status is an error"),
  sealed: vlq.describe("VLQ: the indexes of spans that the session ended because their runner was lost"),
  links: z
    .array(z.tuple([z.int(), z.string(), z.string(), z.string().nullable()]))
    .describe("The index of a span, and the trace id, the span id and the `valet.link.type` of a link of that span"),
});
export type SkeletonChunk = z.infer<typeof SkeletonChunk>;

export const TraceSkeleton = z.object({
  chunks: z.array(SkeletonChunk),
  next: z
    .string()
    .describe(
      "For the query `after`: the answer then has only the chunks that are new since, and all spans that may still change",
    ),
  isComplete: z
    .boolean()
    .describe(
      "Whether nothing follows at the moment. Otherwise the next page is at `after=<next>`, and open spans are on the last one",
    ),
});
export type TraceSkeleton = z.infer<typeof TraceSkeleton>;

/** @param spans with distinct ids */
export function encodeSkeleton(spans: readonly SkeletonSpan[]): SkeletonChunk {
  const rows = new Map(spans.map(({ spanId }, index) => [spanId, index]));
  const names = new Map<string, number>();
  const parents = new Map<string, number>();
  const place = (table: Map<string, number>, key: string) => {
    const known = table.get(key);
    if (known !== undefined) return known;
    table.set(key, table.size);
    return table.size - 1;
  };
  const startUs = spans[0]?.startUs ?? 0;
  const name = spans.map((span) => place(names, span.name));
  const parent = spans.map(({ parentSpanId }) => {
    if (parentSpanId === undefined) return 0;
    const row = rows.get(parentSpanId);
    return row === undefined ? -1 - place(parents, parentSpanId) : row + 1;
  });
  const indexes = (is: (span: SkeletonSpan) => boolean) => spans.flatMap((span, index) => (is(span) ? [index] : []));
  return {
    ids: base64Of(spans.map(({ spanId }) => spanId).join("")),
    names: [...names.keys()],
    name: encodeVlq(name),
    kinds: spans.map(({ kind }) => (kind >= 0 && kind <= 9 ? kind : 0)).join(""),
    parents: [...parents.keys()],
    parent: encodeVlq(parent),
    startUs,
    start: encodeVlq(spans.map((span, index) => span.startUs - (spans[index - 1]?.startUs ?? startUs))),
    duration: encodeVlq(
      spans.map((span) => (span.endUs === undefined ? 0 : Math.max(0, span.endUs - span.startUs) + 1)),
    ),
    outcomes: spans.map(({ outcome }) => (outcome === undefined ? 0 : OUTCOMES.indexOf(outcome) + 1)).join(""),
    errors: encodeVlq(indexes(({ isError }) => isError)),
    sealed: encodeVlq(indexes(({ isSealed }) => isSealed)),
    links: spans.flatMap(({ links }, index) =>
      links.map(({ traceId, spanId, type }): SkeletonChunk["links"][number] => [index, traceId, spanId, type ?? null]),
    ),
  };
}

/** @throws SyntaxError for a chunk that {@link encodeSkeleton} cannot return */
export function decodeSkeleton(chunk: SkeletonChunk): SkeletonSpan[] {
  const hex = hexOf(chunk.ids);
  const ids = hex.match(/.{16}/g) ?? [];
  const [name, parent, start, duration] = [chunk.name, chunk.parent, chunk.start, chunk.duration].map(decodeVlq) as [
    number[],
    number[],
    number[],
    number[],
  ];
  const [errors, sealed] = [new Set(decodeVlq(chunk.errors)), new Set(decodeVlq(chunk.sealed))];
  const links = Map.groupBy(chunk.links, ([index]) => index);
  const columns = [name, parent, start, duration, chunk.kinds, chunk.outcomes];
  if (columns.some(({ length }) => length !== ids.length)) throw new SyntaxError("the columns differ in length");
  let startUs = chunk.startUs;
  return ids.map((spanId, index) => {
    startUs += start[index] as number;
    const [above, lasted] = [parent[index] as number, duration[index] as number];
    return {
      spanId,
      parentSpanId: above === 0 ? undefined : above > 0 ? ids[above - 1] : chunk.parents[-1 - above],
      name: chunk.names[name[index] as number] ?? "",
      kind: Number(chunk.kinds[index]),
      startUs,
      endUs: lasted === 0 ? undefined : startUs + lasted - 1,
      outcome: OUTCOMES[Number(chunk.outcomes[index]) - 1],
      isError: errors.has(index),
      isSealed: sealed.has(index),
      links: (links.get(index) ?? []).map(([, traceId, id, type]) => ({
        traceId,
        spanId: id,
        type: type ?? undefined,
      })),
    };
  });
}

/** Returns the spans of a skeleton in the order of their starts, each once. */
export function spansOfSkeleton(chunks: readonly SkeletonChunk[]): SkeletonSpan[] {
  const spans = new Map<string, SkeletonSpan>();
  for (const chunk of chunks) for (const span of decodeSkeleton(chunk)) spans.set(span.spanId, span);
  return [...spans.values()].sort((a, b) => a.startUs - b.startUs);
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Three hexadecimal digits have as many bits as two of base64. */
function base64Of(hex: string): string {
  let text = "";
  for (let at = 0; at < hex.length; at += 3) {
    const digits = hex.slice(at, at + 3);
    const bits = Number.parseInt(digits, 16) << (12 - 4 * digits.length);
    text += BASE64.charAt(bits >> 6);
    if (digits.length > 1) text += BASE64.charAt(bits & 63);
  }
  return text;
}

function hexOf(base64: string): string {
  return Array.from(atob(base64), (character) => character.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
