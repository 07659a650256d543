/** A trace as trees of items, ready to be drawn: every span once, whatever its parents say. Pure. Times are µs since 1970. */
import { type Node, plant } from "@valet/shared/answers/why/forest";
import type { WhySpan } from "@valet/shared/answers/why/spans";
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { Kind } from "../ui/kind.tsx";
import { criticalPeriods, type Period } from "./critical.ts";
import { kindOf } from "./kinds.ts";

/** What is odd about a span's place in the trace. */
export type Oddity =
  | { readonly type: "missing-parent"; readonly parentSpanId: string }
  | { readonly type: "own-parent" }
  | { readonly type: "cycle" }
  | { readonly type: "self-link" }
  /** It begins before its parent: their clocks differ. */
  | { readonly type: "early"; readonly byUs: number };

export interface Item {
  readonly traceId: string;
  readonly span: SkeletonSpan;
  readonly kind: Kind;
  /** 0 for a root. */
  readonly depth: number;
  readonly parent: Item | undefined;
  /** In the order of their starts. */
  readonly children: Item[];
  readonly oddities: readonly Oddity[];
  /** The periods in which the trace waited for this very span. */
  readonly critical: readonly Period[];
}

export interface Model {
  readonly traceId: string;
  readonly roots: readonly Item[];
  readonly items: ReadonlyMap<string, Item>;
  /** All items from top to bottom. */
  readonly order: readonly Item[];
  readonly startUs: number;
  /** The last time that is known: an end, or the start of an open span. */
  readonly endUs: number;
  readonly openCount: number;
  readonly errorCount: number;
}

/** A difference below this is within the resolution of the clocks. */
const TOLERATED_US = 1_000;

export function buildModel(traceId: string, spans: Iterable<SkeletonSpan>): Model {
  const skeletons = new Map<string, SkeletonSpan>();
  for (const span of spans) skeletons.set(span.spanId, span);
  const { roots } = plant(Array.from(skeletons.values(), (span) => plainSpan(traceId, span)));
  const critical = criticalPeriods(roots);

  const items = new Map<string, Item>();
  const order: Item[] = [];
  let [startUs, endUs, openCount, errorCount] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0];
  const tops: Item[] = [];
  const left: [node: Node, parent: Item | undefined][] = reversed(roots).map((node) => [node, undefined]);
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [node, parent] = next;
    const span = skeletons.get(node.span.spanId) as SkeletonSpan;
    const item: Item = {
      traceId,
      span,
      kind: kindOf(span.name),
      depth: parent === undefined ? 0 : parent.depth + 1,
      parent,
      children: [],
      oddities: odditiesOf(traceId, span, parent, skeletons),
      critical: critical.get(node.span) ?? NONE,
    };
    (parent?.children ?? tops).push(item);
    items.set(span.spanId, item);
    order.push(item);
    startUs = Math.min(startUs, span.startUs);
    endUs = Math.max(endUs, span.endUs ?? span.startUs, span.startUs);
    if (span.endUs === undefined) openCount++;
    if (hasFailed(span)) errorCount++;
    if (node.children.length > 0) for (const child of reversed(node.children)) left.push([child, item]);
  }
  const isEmpty = order.length === 0;
  return {
    traceId,
    roots: tops,
    items,
    order,
    startUs: isEmpty ? 0 : startUs,
    endUs: isEmpty ? 0 : endUs,
    openCount,
    errorCount,
  };
}

/** Whether a span failed, or was lost with its process. */
export function hasFailed({ isError, outcome }: SkeletonSpan): boolean {
  return isError || outcome === "error" || outcome === "lost";
}

const NONE: readonly never[] = [];
const NO_ATTRIBUTES = {};

/** Returns nodes from the last to the first, for a stack. */
function reversed(nodes: readonly Node[]): readonly Node[] {
  return nodes.length < 2 ? nodes : nodes.toSorted((a, b) => b.startUs - a.startUs);
}

function plainSpan(traceId: string, { spanId, parentSpanId, name, kind, startUs, endUs }: SkeletonSpan): WhySpan {
  return {
    sessionId: "",
    traceId,
    spanId,
    parentId: parentSpanId ?? null,
    name,
    kind,
    startMs: startUs / 1000,
    endMs: endUs === undefined ? null : Math.max(endUs, startUs) / 1000,
    outcome: null,
    attributes: NO_ATTRIBUTES,
    events: NONE,
    links: NONE,
    isSealed: false,
    service: null,
  };
}

function odditiesOf(
  traceId: string,
  span: SkeletonSpan,
  parent: Item | undefined,
  skeletons: ReadonlyMap<string, SkeletonSpan>,
): readonly Oddity[] {
  const { spanId, parentSpanId, links } = span;
  const isEarly = parent !== undefined && parent.span.startUs - span.startUs >= TOLERATED_US;
  if (!isEarly && links.length === 0 && (parent !== undefined || parentSpanId === undefined)) return NONE;
  const found: Oddity[] = [];
  if (parent === undefined && parentSpanId !== undefined) {
    if (parentSpanId === spanId) found.push({ type: "own-parent" });
    else if (skeletons.has(parentSpanId)) found.push({ type: "cycle" });
    else found.push({ type: "missing-parent", parentSpanId });
  }
  if (isEarly) found.push({ type: "early", byUs: parent.span.startUs - span.startUs });
  if (links.some((link) => link.traceId === traceId && link.spanId === spanId)) found.push({ type: "self-link" });
  return found.length === 0 ? NONE : found;
}
