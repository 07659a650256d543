/** Chooses the part of a trace that an agent asked for. Pure. */
import type { TraceNode, TraceSpan } from "../trace-tree.ts";

export interface PartQuery {
  /** The topmost span of the part. */
  readonly spanId?: string | undefined;
  /** How many levels are shown. */
  readonly depth: number;
  /** Only spans that failed or are open, with those above them. */
  readonly troubleOnly: boolean;
}

export interface TracePart {
  readonly trees: readonly TraceNode[];
  /** How many spans are below the last level. */
  readonly tooDeep: number;
}

/** Returns the chosen part; `undefined` if the trace has no such span. */
export function choosePart(
  trees: readonly TraceNode[],
  { spanId, depth, troubleOnly }: PartQuery,
): TracePart | undefined {
  const top = spanId === undefined ? trees : findNode(trees, spanId);
  if (top === undefined) return undefined;
  const kept = troubleOnly ? top.flatMap(troubled) : top;
  const shown = kept.map((node) => cutBelow(node, depth));
  return { trees: shown, tooDeep: count(kept) - count(shown) };
}

function findNode(trees: readonly TraceNode[], spanId: string): TraceNode[] | undefined {
  for (const node of trees) {
    if (node.span.spanId === spanId) return [node];
    const below = findNode(node.children, spanId);
    if (below !== undefined) return below;
  }
  return undefined;
}

const isTrouble = ({ isError, endMs }: TraceSpan) => isError || endMs === undefined;

function troubled(node: TraceNode): TraceNode[] {
  const children = node.children.flatMap(troubled);
  return children.length > 0 || isTrouble(node.span) ? [{ ...node, children }] : [];
}

function cutBelow(node: TraceNode, depth: number): TraceNode {
  return { ...node, children: depth <= 1 ? [] : node.children.map((child) => cutBelow(child, depth - 1)) };
}

function count(nodes: readonly TraceNode[]): number {
  return nodes.reduce((sum, { children }) => sum + 1 + count(children), 0);
}
