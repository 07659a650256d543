/** The critical path of a whole trace: for each span the periods that were its own. Pure. */
import { criticalPath } from "@valet/shared/answers/why/critical-path";
import type { Node } from "@valet/shared/answers/why/forest";
import type { WhySpan } from "@valet/shared/answers/why/spans";

/** Microseconds since 1970; the end is after the start, and `OPEN_US` where the span is open. */
export type Period = readonly [startUs: number, endUs: number];

/**
 * Returns the periods of the critical path by span. A parent may end before what it started (a request that creates a turn), so a tree
 * lasts as long as its last span; a period is cut to the span that it belongs to.
 */
export function criticalPeriods(roots: readonly Node[]): ReadonlyMap<WhySpan, readonly Period[]> {
  const trees = roots.map(lengthened);
  const [first] = trees;
  const periods = new Map<WhySpan, Period[]>();
  if (first === undefined) return periods;
  let [startUs, endUs] = [first.startUs, first.endUs];
  for (const tree of trees) {
    startUs = Math.min(startUs, tree.startUs);
    endUs = Math.max(endUs, tree.endUs);
  }
  const all: Node = { span: first.span, startUs, endUs, children: trees };
  for (const { node, ...own } of criticalPath(all, startUs, endUs, [], () => [])) {
    if (node === all) continue;
    const end = Math.min(own.endUs, ownEnd(node.span));
    if (end <= own.startUs) continue;
    const known = periods.get(node.span);
    if (known === undefined) periods.set(node.span, [[own.startUs, end]]);
    else known.push([own.startUs, end]);
  }
  return periods;
}

function ownEnd({ endMs }: WhySpan): number {
  return endMs === null ? Number.MAX_SAFE_INTEGER : Math.round(endMs * 1000);
}

/** Returns a copy of a tree in which each span lasts until the last of those below it has ended. */
function lengthened(root: Node): Node {
  const order: Node[] = [root];
  const parents: number[] = [-1];
  for (let at = 0; at < order.length; at++) {
    for (const child of (order[at] as Node).children) {
      order.push(child);
      parents.push(at);
    }
  }
  const below: (Node[] | undefined)[] = [];
  let copy = root;
  // Children come after their parents, so each is finished before its parent is.
  for (let at = order.length - 1; at >= 0; at--) {
    const node = order[at] as Node;
    const children = below[at];
    copy = node;
    if (children !== undefined) {
      const { span, startUs, endUs } = node;
      copy = { span, startUs, endUs: children.reduce((end, child) => Math.max(end, child.endUs), endUs), children };
    }
    const parent = parents[at] as number;
    if (parent < 0) continue;
    const siblings = below[parent];
    if (siblings === undefined) below[parent] = [copy];
    else siblings.push(copy);
  }
  return copy;
}
