/** A trace as trees of items, ready to be drawn: every span once, whatever its parents say. Pure. Times are µs since 1970. */
import { clocksOf, clockTexts } from "@valet/shared/answers/clocks";
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { criticalPeriods } from "./critical.ts";
import type { Item, Oddity } from "./item.ts";
import { kindOf } from "./kinds.ts";

export interface Model {
  readonly traceId: string;
  readonly roots: readonly Item[];
  readonly items: ReadonlyMap<string, Item>;
  /** All items from top to bottom. */
  readonly order: readonly Item[];
  readonly startUs: number;
  /** The last time that is known: an end, or the start of an open span. */
  readonly endUs: number;
  /** The same by the Worker's clock, which says what is now. */
  readonly lastUs: number;
  readonly openCount: number;
  /** How many spans of Valet's own failed or were lost: as many as the list of traces says. */
  readonly errorCount: number;
  /** How many spans failed that programs of the agent sent: what a command does that fails is no failure of the operation. */
  readonly programErrorCount: number;
  /** A sentence for each process whose clock differs from the Worker's. */
  readonly clockTexts: readonly string[];
}

/** A difference below this is within the resolution of the clocks. */
const TOLERATED_US = 1_000;

/** Returns the trace with its critical path. */
export function buildModel(traceId: string, spans: Iterable<SkeletonSpan>): Model {
  return withCriticalPath(layOut(traceId, spans));
}

/** Returns the trace without its critical path, which takes as long as all the rest: nobody has to wait for it. */
export function layOut(traceId: string, spans: Iterable<SkeletonSpan>): Model {
  const items = itemsOf(traceId, spans);
  const roots = rootsOf(items);
  const clocks = clocksOf(spansOf(items.values()));
  const order: Item[] = [];
  let [startUs, endUs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let lastUs = endUs;
  let [openCount, errorCount, programErrorCount] = [0, 0, 0];
  const left = roots.toReversed();
  for (let item = left.pop(); item !== undefined; item = left.pop()) {
    const { span, parent, children } = item;
    item.depth = parent === undefined ? 0 : parent.depth + 1;
    item.oddities = odditiesOf(traceId, span, parent, items);
    item.shiftUs = clocks.shiftUs(span.spanId);
    order.push(item);
    startUs = Math.min(startUs, span.startUs);
    const knownUs = Math.max(span.endUs ?? span.startUs, span.startUs);
    endUs = Math.max(endUs, knownUs);
    lastUs = Math.max(lastUs, knownUs + item.shiftUs);
    if (span.endUs === undefined) openCount++;
    if (hasFailed(span)) {
      if (span.isAdopted === true) programErrorCount++;
      else errorCount++;
    }
    for (let at = children.length - 1; at >= 0; at--) left.push(children[at] as MutableItem);
  }
  const isEmpty = order.length === 0;
  return {
    traceId,
    roots,
    items,
    order,
    startUs: isEmpty ? 0 : startUs,
    endUs: isEmpty ? 0 : endUs,
    lastUs: isEmpty ? 0 : lastUs,
    openCount,
    errorCount,
    programErrorCount,
    clockTexts: clockTexts(clocks),
  };
}

function* spansOf(items: Iterable<Item>): Generator<SkeletonSpan> {
  for (const { span } of items) yield span;
}

/** Returns the model with the critical path at its items, which stay the same ones. */
export function withCriticalPath(model: Model): Model {
  for (const [item, periods] of criticalPeriods(model.roots)) (item as MutableItem).critical = periods;
  return { ...model };
}

type MutableItem = { -readonly [K in keyof Item]: Item[K] } & { parent: MutableItem | undefined };

/** Returns an item for each span, that of the last one of those with the same id. */
function itemsOf(traceId: string, spans: Iterable<SkeletonSpan>): Map<string, MutableItem> {
  const items = new Map<string, MutableItem>();
  for (const span of spans) {
    items.set(span.spanId, {
      traceId,
      span,
      kind: span.isAdopted === true ? "other" : kindOf(span.name),
      depth: 0,
      place: 1,
      parent: undefined,
      children: [],
      oddities: NONE,
      shiftUs: 0,
      critical: NONE,
    });
  }
  return items;
}

/**
 * Puts each item below its parent, in the order of their starts.
 * @returns the tops: roots, items whose parent is unknown, and one of each cycle
 */
function rootsOf(items: ReadonlyMap<string, MutableItem>): MutableItem[] {
  const roots: MutableItem[] = [];
  for (const item of items.values()) {
    const { parentSpanId } = item.span;
    const parent = parentSpanId === undefined ? undefined : items.get(parentSpanId);
    item.parent = parent;
    if (parent === undefined) roots.push(item);
    else parent.children.push(item);
  }
  const reached = new Set<Item>();
  for (const root of roots) reach(root, reached);
  if (reached.size < items.size) {
    // The others are in cycles, or below one.
    for (const item of items.values()) {
      if (reached.has(item)) continue;
      const siblings = item.parent?.children ?? [];
      siblings.splice(siblings.indexOf(item), 1);
      item.parent = undefined;
      roots.push(item);
      reach(item, reached);
    }
  }
  sortByStart(roots);
  for (const { children } of items.values()) if (children.length > 0) sortByStart(children as MutableItem[]);
  return roots;
}

function reach(root: Item, reached: Set<Item>): void {
  const left = [root];
  for (let item = left.pop(); item !== undefined; item = left.pop()) {
    reached.add(item);
    for (const child of item.children) if (!reached.has(child)) left.push(child);
  }
}

function sortByStart(siblings: MutableItem[]): void {
  siblings.sort((a, b) => a.span.startUs - b.span.startUs);
  for (let at = 0; at < siblings.length; at++) (siblings[at] as MutableItem).place = at + 1;
}

/** Whether a span failed, or was lost with its process. */
export function hasFailed({ isError, outcome }: SkeletonSpan): boolean {
  return isError || outcome === "error" || outcome === "lost";
}

const NONE: readonly never[] = [];

function odditiesOf(
  traceId: string,
  span: SkeletonSpan,
  parent: Item | undefined,
  items: ReadonlyMap<string, Item>,
): readonly Oddity[] {
  const { spanId, parentSpanId, links } = span;
  const isEarly = parent !== undefined && parent.span.startUs - span.startUs >= TOLERATED_US;
  if (!isEarly && links.length === 0 && (parent !== undefined || parentSpanId === undefined)) return NONE;
  const found: Oddity[] = [];
  if (parent === undefined && parentSpanId !== undefined) {
    if (parentSpanId === spanId) found.push({ type: "own-parent" });
    else if (items.has(parentSpanId)) found.push({ type: "cycle" });
    else found.push({ type: "missing-parent", parentSpanId });
  }
  if (isEarly) found.push({ type: "early", byUs: parent.span.startUs - span.startUs });
  if (links.some((link) => link.traceId === traceId && link.spanId === spanId)) found.push({ type: "self-link" });
  return found.length === 0 ? NONE : found;
}
