/**
 * Spans as trees. Whatever comes from a sandbox may be repeated, lack its parent or be its own ancestor: every span is in exactly
 * one tree. Times are whole microseconds since 1970. Pure.
 */
import { SpanMap } from "./span-map.ts";
import type { WhySpan } from "./spans.ts";

/** The end of an open span: later than every time. */
export const OPEN_US = Number.MAX_SAFE_INTEGER;

/** A span in its tree, with times that can be moved to another clock. */
export interface Node<S = WhySpan> {
  readonly span: S;
  readonly startUs: number;
  /** {@link OPEN_US} while the span is open; never before the start. */
  readonly endUs: number;
  readonly children: Node<S>[];
}

/** The trees of a trace. */
export interface Forest {
  /** Roots, spans whose parent is unknown, and one span of each cycle. */
  readonly roots: readonly Node[];
  /** Every span once. */
  readonly nodes: SpanMap<Node>;
}

/** Returns milliseconds as whole microseconds; a time that is no number becomes 0. */
export function toUs(ms: number): number {
  return Number.isFinite(ms) ? Math.min(Math.max(Math.round(ms * 1000), 0), OPEN_US - 1) : 0;
}

/** Builds the trees of spans of any traces, in any order. Of repeated spans an ended one counts, else the first. */
export function plant(spans: readonly WhySpan[]): Forest {
  const nodes = new SpanMap<Node>();
  for (const span of spans) {
    const known = nodes.get(span);
    if (known === undefined || (known.span.endMs === null && span.endMs !== null)) nodes.set(span, nodeOf(span));
  }
  const roots: Node[] = [];
  const all = nodes.values();
  for (const node of all) {
    const parent = parentOf(node, nodes);
    if (parent === undefined) roots.push(node);
    else parent.children.push(node);
  }
  const reached = new Set<Node>();
  for (const root of roots) reach(root, reached);
  // The others are in cycles, or below one.
  for (const node of all) {
    if (reached.has(node)) continue;
    cut(node, nodes);
    roots.push(node);
    reach(node, reached);
  }
  return { roots, nodes };
}

function nodeOf(span: WhySpan): Node {
  const startUs = toUs(span.startMs);
  const endUs = span.endMs === null ? OPEN_US : Math.max(toUs(span.endMs), startUs);
  return { span, startUs, endUs, children: [] };
}

function parentOf({ span }: Node, nodes: SpanMap<Node>): Node | undefined {
  if (span.parentId === null) return undefined;
  return nodes.get({ traceId: span.traceId, spanId: span.parentId });
}

function reach(root: Node, reached: Set<Node>): void {
  const left = [root];
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    reached.add(node);
    for (const child of node.children) if (!reached.has(child)) left.push(child);
  }
}

/** Makes a node of a cycle a root. */
function cut(node: Node, nodes: SpanMap<Node>): void {
  const siblings = parentOf(node, nodes)?.children ?? [];
  siblings.splice(siblings.indexOf(node), 1);
}

/**
 * Returns a copy of a tree with its times moved. Children of another clock (`isMoved` is false) keep theirs, with all below them.
 * @param byUs added to each time of a span that is moved
 */
export function moved(root: Node, byUs: number, isMoved: (node: Node) => boolean = () => true): Node {
  if (byUs === 0) return root;
  const copyOf = ({ span, startUs, endUs }: Node): Node => ({
    span,
    startUs: startUs + byUs,
    endUs: endUs === OPEN_US ? OPEN_US : endUs + byUs,
    children: [],
  });
  const copy = copyOf(root);
  const left: [from: Node, to: Node][] = [[root, copy]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [from, to] = next;
    for (const child of from.children) {
      const below = isMoved(child) ? copyOf(child) : child;
      to.children.push(below);
      if (below !== child) left.push([child, below]);
    }
  }
  return copy;
}

/**
 * Returns by how much to move a span of another clock, so that it begins within a window and ends before a time: as little as
 * possible, 0 if it fits. If it does not fit at all, its start decides.
 */
export function shiftInto(node: Node, window: { earliestUs: number; latestUs: number; endUs: number }): number {
  const low = window.earliestUs - node.startUs;
  const byStart = window.latestUs - node.startUs;
  const byEnd = node.endUs === OPEN_US || window.endUs === OPEN_US ? byStart : window.endUs - node.endUs;
  const high = Math.max(low, Math.min(byStart, byEnd));
  return Math.min(Math.max(0, low), high);
}
