/** Writes and reads the chunks of a trace's skeleton: see `trace-skeleton.ts`. Pure, and without the schemas' library. */
import { OUTCOMES, type Outcome } from "../spans/outcomes.ts";
import type { SkeletonChunk } from "./trace-skeleton.ts";
import { decodeVlq, encodeVlq } from "./vlq.ts";

export interface SkeletonLink {
  readonly traceId: string;
  readonly spanId: string;
  /** `valet.link.type`. */
  readonly type?: string | undefined;
}

/** What a model call took; `undefined` for what is not known. */
export interface SkeletonUsage {
  /** Tokens, the cached ones included. */
  readonly input: number | undefined;
  /** How many of the input tokens the provider had cached. */
  readonly cached: number | undefined;
  readonly costUsd: number | undefined;
}

/** A span without events, and with no attributes but those that a drawing shows. */
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
  /** Of a sealed span: the last sign of life of its runner, ms since 1970. */
  readonly lastSeenMs?: number | undefined;
  /** Of a model call. */
  readonly usage?: SkeletonUsage | undefined;
  /**
   * Of a model call: whether its cost is a lower bound by its own usage. Of a try of one: whether it failed, and may have been charged, so
   * that the call's cost lacks it.
   */
  readonly isCostPartial?: boolean | undefined;
  /** Whether it is of a program that a command of the agent ran: not one of Valet's own. */
  readonly isAdopted?: boolean;
  readonly links: readonly SkeletonLink[];
}

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
  const adopted = indexes(({ isAdopted }) => isAdopted === true);
  const partial = indexes(({ isCostPartial }) => isCostPartial === true);
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
    usage: spans.flatMap(({ usage }, index): [number, number | null, number | null, number | null][] =>
      usage === undefined ? [] : [[index, usage.input ?? null, usage.cached ?? null, usage.costUsd ?? null]],
    ),
    seen: spans.flatMap(({ lastSeenMs }, index): [number, number][] =>
      lastSeenMs === undefined ? [] : [[index, lastSeenMs]],
    ),
    ...(adopted.length > 0 && { adopted: encodeVlq(adopted) }),
    ...(partial.length > 0 && { partial: encodeVlq(partial) }),
    links: spans.flatMap(({ links }, index) =>
      links.map(({ traceId, spanId, type }): SkeletonChunk["links"][number] => [index, traceId, spanId, type ?? null]),
    ),
  };
}

/** @throws SyntaxError for a chunk that {@link encodeSkeleton} cannot return */
export function decodeSkeleton(chunk: SkeletonChunk): SkeletonSpan[] {
  const ids = idsOf(chunk.ids);
  const [name, parent, start, duration] = [chunk.name, chunk.parent, chunk.start, chunk.duration].map(decodeVlq) as [
    number[],
    number[],
    number[],
    number[],
  ];
  const [errors, sealed, adopted, partial] = [chunk.errors, chunk.sealed, chunk.adopted ?? "", chunk.partial ?? ""].map(
    (indexes) => new Set(decodeVlq(indexes)),
  ) as [Set<number>, Set<number>, Set<number>, Set<number>];
  const seen = new Map(chunk.seen);
  const usage = new Map((chunk.usage ?? []).map(([index, ...figures]) => [index, usageOf(figures)]));
  const links = linksOf(chunk);
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
      lastSeenMs: seen.get(index),
      usage: usage.get(index),
      ...(adopted.has(index) && { isAdopted: true }),
      ...(partial.has(index) && { isCostPartial: true }),
      links: links.get(index) ?? NO_LINKS,
    };
  });
}

function usageOf(figures: readonly (number | null)[]): SkeletonUsage {
  const [input, cached, costUsd] = figures.map((figure) => figure ?? undefined);
  return { input, cached, costUsd };
}

const NO_LINKS: readonly SkeletonLink[] = [];

function linksOf(chunk: SkeletonChunk): ReadonlyMap<number, readonly SkeletonLink[]> {
  const links = new Map<number, SkeletonLink[]>();
  for (const [index, traceId, spanId, type] of chunk.links) {
    const link: SkeletonLink = { traceId, spanId, type: type ?? undefined };
    const known = links.get(index);
    if (known === undefined) links.set(index, [link]);
    else known.push(link);
  }
  return links;
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

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
/** Of a span's id. */
const ID_BYTES = 8;

/** Returns ids of 16 hexadecimal digits; bytes that are left over belong to none. */
function idsOf(base64: string): string[] {
  const bytes = atob(base64);
  const ids: string[] = [];
  for (let at = 0; at + ID_BYTES <= bytes.length; at += ID_BYTES) {
    let id = "";
    for (let byte = at; byte < at + ID_BYTES; byte++) id += HEX[bytes.charCodeAt(byte)];
    ids.push(id);
  }
  return ids;
}
