/** The rows of a waterfall: the spans that no folded ancestor hides, and the linked traces that are opened in place. Pure. */
import type { SkeletonLink } from "@valet/shared/protocol/skeleton-codec";
import type { Item } from "./item.ts";
import type { Model } from "./model.ts";

/** A link of a span, or a link to it. */
export interface Tie {
  readonly direction: "to" | "from";
  /** The trace and the span at the other end. */
  readonly traceId: string;
  readonly spanId: string;
  readonly type: string | undefined;
}

/** What is known of the trace at the other end of an opened link. */
export type Linked =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "ready"; readonly model: Model };

interface AnyRow {
  /** The same while the row is shown; of a span in the main trace its id. */
  readonly key: string;
  /** From 1. */
  readonly level: number;
  /** Its place among the rows below the same one, from 1, and how many those are. */
  readonly place: number;
  readonly of: number;
  /** The keys of the boxes around it, the outermost first. */
  readonly boxes: readonly string[];
  /** The boxes that end with this row. */
  readonly ends: number;
}

export interface SpanRow extends AnyRow {
  readonly type: "span";
  readonly item: Item;
  /** `undefined` if nothing is below it. */
  readonly isExpanded: boolean | undefined;
}

/** The head of a linked trace. */
export interface LinkRow extends AnyRow {
  readonly type: "link";
  /** The key of the row that has the link. */
  readonly owner: string;
  readonly tie: Tie;
  readonly linked: Linked;
  /** Whether the span at the other end was not found, so that the whole trace is shown. */
  readonly isWhole: boolean;
}

export type Row = SpanRow | LinkRow;

interface Folding {
  /** The keys of rows whose children are hidden. */
  readonly folded: ReadonlySet<string>;
  /** The opened links by the key of their row. */
  readonly opened: ReadonlyMap<string, readonly Tie[]>;
  readonly linked: (traceId: string) => Linked;
}

/** Returns the key of an opened link. */
export function tieKey(owner: string, { direction, traceId, spanId }: Tie): string {
  return `${owner}>${direction}:${traceId}:${spanId}`;
}

/** The most boxes within each other: each was opened by hand, but the page has an edge. */
const MAX_BOXES = 6;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function visibleRows(model: Model, folding: Folding): Row[] {
  const rows: Row[] = [];
  add(model.roots, "", 1, [], folding, rows);
  return rows;
}

/** @param prefix of the rows' keys; `topLevel` the level of the tops */
function add(
  tops: readonly Item[],
  prefix: string,
  topLevel: number,
  boxes: readonly string[],
  folding: Folding,
  rows: Row[],
): void {
  const topDepth = tops[0]?.depth ?? 0;
  const opened = (key: string) => (boxes.length < MAX_BOXES && folding.opened.get(key)) || NO_TIES;
  const left: Item[] = tops.toReversed();
  for (let item = left.pop(); item !== undefined; item = left.pop()) {
    const key = prefix + item.span.spanId;
    const level = topLevel + item.depth - topDepth;
    const ties = opened(key);
    const isFolded = folding.folded.has(key);
    const hasBelow = item.children.length > 0 || ties.length > 0;
    // Opened links come before the children.
    const isTop = item.depth === topDepth;
    const before = isTop || item.parent === undefined ? 0 : opened(prefix + item.parent.span.spanId).length;
    const [place, of] = isTop
      ? [tops.length === 1 ? 1 : item.place, tops.length]
      : [before + item.place, before + (item.parent?.children.length ?? 1)];
    const isExpanded = hasBelow ? !isFolded : undefined;
    rows.push({ type: "span", key, level, place, of, boxes, ends: 0, item, isExpanded });
    if (isFolded) continue;
    const below = ties.length + item.children.length;
    ties.forEach((tie, at) => {
      addBox(key, tie, { level: level + 1, place: at + 1, of: below }, boxes, folding, rows);
    });
    for (let at = item.children.length - 1; at >= 0; at--) left.push(item.children[at] as Item);
  }
}

function addBox(
  owner: string,
  tie: Tie,
  at: { readonly level: number; readonly place: number; readonly of: number },
  around: readonly string[],
  folding: Folding,
  rows: Row[],
): void {
  const key = tieKey(owner, tie);
  const linked = folding.linked(tie.traceId);
  const target = linked.state === "ready" ? linked.model.items.get(tie.spanId) : undefined;
  const isWhole = linked.state === "ready" && target === undefined;
  const boxes = [...around, key];
  rows.push({ type: "link", key, ...at, boxes, ends: 0, owner, tie, linked, isWhole });
  if (linked.state === "ready") {
    add(target === undefined ? linked.model.roots : [target], `${key}/`, at.level + 1, boxes, folding, rows);
  }
  const last = rows.at(-1) as Mutable<Row>;
  last.ends += 1;
}

const NO_TIES: readonly Tie[] = [];

/** What a link is from its other end. */
const BACKWARDS: Readonly<Record<string, string>> = {
  caused_by: "caused",
  waited_on: "waited for by",
  collected: "collected by",
  spawned_by: "spawned",
  follows: "followed by",
};

/** Returns what a link says of its span: `waited on`; from its other end `waited for by`. The type may be a sandbox's invention. */
export function tieText({ direction, type }: Tie): string {
  const words = type?.replaceAll("_", " ");
  if (direction === "to") return words ?? "link to";
  if (type === undefined) return "link from";
  return (Object.hasOwn(BACKWARDS, type) ? BACKWARDS[type] : undefined) ?? `${words} from`;
}

/** Returns a span's links that lead somewhere: not to itself, each once. */
export function tiesOf({ span, traceId }: Item): Tie[] {
  const distinct = new Map<string, SkeletonLink>();
  for (const link of span.links) {
    if (link.traceId === traceId && link.spanId === span.spanId) continue;
    distinct.set(`${link.traceId}:${link.spanId}`, link);
  }
  return Array.from(distinct.values(), ({ traceId, spanId, type }) => ({ direction: "to", traceId, spanId, type }));
}

/** A span that links to a span of the trace, as the API lists it. */
export interface Backlink {
  readonly traceId: string;
  readonly spanId: string;
  readonly targetSpanId: string;
  readonly type?: string | undefined;
}

/** Returns the links to a trace's spans by the span that they lead to, each once and none of a span to itself. */
export function tiesBySpan(traceId: string, links: readonly Backlink[]): ReadonlyMap<string, readonly Tie[]> {
  const found = new Map<string, Map<string, Tie>>();
  for (const { targetSpanId, type, ...from } of links) {
    if (from.traceId === traceId && from.spanId === targetSpanId) continue;
    const ties = found.get(targetSpanId) ?? new Map<string, Tie>();
    found.set(targetSpanId, ties);
    const tie: Tie = { direction: "from", traceId: from.traceId, spanId: from.spanId, type };
    ties.set(`${from.traceId}:${from.spanId}`, tie);
  }
  return new Map(Array.from(found, ([spanId, ties]) => [spanId, [...ties.values()]]));
}

/** Returns the fold keys of the ancestors of a span in the main trace. */
export function ancestorKeys(item: Item): string[] {
  const keys: string[] = [];
  for (let above = item.parent; above !== undefined; above = above.parent) keys.push(above.span.spanId);
  return keys;
}
