/** What the tail of the log holds: how spans become its rows, and rows become requests. Pure. */
import type { Service } from "@valet/shared/spans";
import { readStored, type SpanFacts } from "./otlp-request.ts";
import { mergeSummaries, summarise, type TraceSummary } from "./trace-summary.ts";
import { REQUEST_END, REQUEST_HEAD } from "./trace-text.ts";

/** A segment closes at this many spans, or this many uncompressed bytes, far below the maximum of a row (2 MB). */
export const MAX_SPANS = 200;
export const MAX_BYTES = 512 * 1024;

const WORKER: Service = "valet-worker";
const BROKER: Service = "valet-broker";

/** Spans with the same resource and scope, each as its text within `resourceSpans`. */
export interface TailEntry {
  readonly resource: string;
  readonly scope: string;
  /** Unsampled spans are stored for the session's own views and never exported. */
  readonly sampled: boolean;
  readonly spans: readonly SpanFacts[];
  /** The spans as comma-separated texts. */
  readonly body: string;
}

/** Spans with the same resource and scope, as comma-separated texts. */
interface SpanTexts {
  readonly resource: string;
  readonly scope: string;
  readonly body: string;
}

/** A row of the tail, or what is about to be appended: it becomes a part of one request. */
export interface TailPart {
  readonly groups: readonly SpanTexts[];
  readonly spans: number;
  readonly bytes: number;
  readonly summaries: readonly TraceSummary[];
  /** Returns the facts of its spans, which a row of the tail has only in its texts. */
  readonly facts: () => readonly SpanFacts[];
}

/** The groups of a row that has several: `length` code units each of its body. */
type StoredGroups = readonly (Omit<SpanTexts, "body"> & { readonly length: number })[];

/** A row of `trace_tail`, as far as it is read again. */
export interface TailRow extends Record<string, SqlStorageValue> {
  /** Empty if the row has several groups. */
  readonly resource: string;
  /** Empty if the row has several groups. */
  readonly scope: string;
  readonly spans: number;
  readonly bytes: number;
  readonly summaries: string;
  /** JSON of the resource, scope and length of each group; `null` if there is one group. */
  readonly groups: string | null;
  readonly body: string;
}

/**
 * Returns entries as parts: one each resource and scope, or several if the spans are more than a segment holds.
 * @param runnerAheadMs how far the sandbox's clock is ahead of the Worker's
 */
export function toParts(entries: readonly TailEntry[], runnerAheadMs: number): TailPart[] {
  return merge(entries).map((entry) => toPart(entry, runnerAheadMs));
}

/** Returns the row that stores a part. */
export function toRow({ groups, spans, bytes, summaries }: Omit<TailPart, "facts">): TailRow {
  const [only, ...others] = groups;
  const stored: StoredGroups = groups.map(({ resource, scope, body }) => ({ resource, scope, length: body.length }));
  const isOne = only !== undefined && others.length === 0;
  return {
    resource: isOne ? only.resource : "",
    scope: isOne ? only.scope : "",
    spans,
    bytes,
    summaries: JSON.stringify(summaries),
    groups: isOne ? null : JSON.stringify(stored),
    body: groups.map(({ body }) => body).join(""),
  };
}

/** Returns the part that a row stores. */
export function fromRow(row: TailRow): TailPart {
  const { spans, bytes, summaries } = row;
  const groups = groupsOf(row);
  const facts = () => groups.flatMap(({ body }) => readStored(body));
  return { groups, spans, bytes, summaries: JSON.parse(summaries), facts };
}

function groupsOf({ resource, scope, groups, body }: TailRow): SpanTexts[] {
  if (groups === null) return [{ resource, scope, body }];
  let start = 0;
  return (JSON.parse(groups) as StoredGroups).map(({ length, ...group }) => {
    start += length;
    return { ...group, body: body.slice(start - length, start) };
  });
}

/** Joins parts that are stored in one row. */
export function joined(parts: readonly TailPart[]): TailPart {
  return {
    groups: parts.flatMap(({ groups }) => groups),
    spans: sum(parts, "spans"),
    bytes: sum(parts, "bytes"),
    summaries: mergeSummaries(parts.map(({ summaries }) => summaries)),
    facts: () => factsOf(parts),
  };
}

/** Returns the facts of the spans of all parts, in order. */
export function factsOf(parts: readonly TailPart[]): readonly SpanFacts[] {
  return parts.flatMap(({ facts }) => facts());
}

/** Returns how many spans, or bytes, parts have together. */
export function sum(parts: readonly TailPart[], what: "spans" | "bytes"): number {
  return parts.reduce((total, part) => total + part[what], 0);
}

/** Splits parts, in order, into groups of a segment's size, with at least one part each. */
export function split(parts: readonly TailPart[]): TailPart[][] {
  const segments: TailPart[][] = [];
  let spans = Infinity;
  let bytes = 0;
  for (const part of parts) {
    spans += part.spans;
    bytes += part.bytes;
    if (spans > MAX_SPANS || bytes > MAX_BYTES) {
      segments.push([]);
      ({ spans, bytes } = part);
    }
    segments.at(-1)?.push(part);
  }
  return segments;
}

/** Joins parts into one request, those with equal resource and scope together. */
export function requestOf(parts: readonly TailPart[]): string {
  const resources = new Map<string, Map<string, string[]>>();
  for (const { resource, scope, body } of parts.flatMap(({ groups }) => groups)) {
    const scopes = resources.get(resource) ?? new Map<string, string[]>();
    resources.set(resource, scopes);
    const bodies = scopes.get(scope) ?? [];
    scopes.set(scope, bodies);
    bodies.push(body);
  }
  const resourceSpans = [...resources].map(([resource, scopes]) => {
    const scopeSpans = [...scopes].map(([scope, bodies]) => `{"scope":${scope},"spans":[${bodies.join(",")}]}`);
    return `{"resource":${resource},"scopeSpans":[${scopeSpans.join(",")}]}`;
  });
  return `${REQUEST_HEAD}${resourceSpans.join(",")}${REQUEST_END}`;
}

/** Merges entries with the same resource and scope, up to the size of a segment. */
function merge(entries: readonly TailEntry[]): TailEntry[] {
  const merged: TailEntry[] = [];
  /** The places in `merged` of the entries that may still grow, by resource and scope. */
  const growing = new Map<string, number>();
  for (const entry of entries) {
    const key = `${entry.resource}\n${entry.scope}`;
    const place = growing.get(key);
    const before = place === undefined ? undefined : merged[place];
    if (place !== undefined && before !== undefined && fitTogether(before, entry)) {
      const spans = [...before.spans, ...entry.spans];
      merged[place] = { ...entry, spans, body: `${before.body},${entry.body}` };
    } else {
      growing.set(key, merged.length);
      merged.push(entry);
    }
  }
  return merged;
}

/** Whether a segment holds both, by a size in UTF-16 units, of up to three bytes each. */
function fitTogether(a: TailEntry, b: TailEntry): boolean {
  return a.spans.length + b.spans.length <= MAX_SPANS && a.body.length + b.body.length <= MAX_BYTES;
}

/** The size of a part is that of its texts, since summaries are short. */
function toPart({ resource, scope, spans, body }: TailEntry, runnerAheadMs: number): TailPart {
  const bytes = Buffer.byteLength(resource) + Buffer.byteLength(scope) + Buffer.byteLength(body);
  const groups = [{ resource, scope, body }];
  const service = serviceOf(resource);
  // The broker is not in the sandbox.
  const aheadUs = service === WORKER || service === BROKER ? 0 : runnerAheadMs * 1000;
  const summaries = summarise(spans, service !== WORKER, aheadUs);
  return { groups, spans: spans.length, bytes, summaries, facts: () => spans };
}

/** Returns the `service.name`. Only the Worker's and the broker's own spans have these two names. @param resource as an element of `resourceSpans` has it */
function serviceOf(resource: string): string | undefined {
  const { attributes = [] } = JSON.parse(resource) as {
    attributes?: { key: string; value: { stringValue?: string } }[];
  };
  return attributes.find(({ key }) => key === "service.name")?.value.stringValue;
}
