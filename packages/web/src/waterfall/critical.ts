/** The critical path of a whole trace: for each span the periods that were its own. Pure. */
import { criticalPath } from "@valet/shared/answers/why/critical-path";
import { type Node as NodeOf, OPEN_US } from "@valet/shared/answers/why/forest";
import type { Item, Period } from "./item.ts";

/**
 * Returns the periods of the critical path by span. A parent may end before what it started (a request that creates a turn), so a tree
 * lasts as long as its last span; a period is cut to the span that it belongs to. Spans of programs of a command have none: their time
 * is that of the command. The path is found by the Worker's clock; a span's periods are by its own.
 */
export function criticalPeriods(roots: readonly Item[]): ReadonlyMap<Item, readonly Period[]> {
  const trees = roots.filter(isOwn).map(lengthened);
  const [first] = trees;
  const periods = new Map<Item, Period[]>();
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
    const { shiftUs } = node.span;
    const period: Period = [own.startUs - shiftUs, end === OPEN_US ? end : end - shiftUs];
    const known = periods.get(node.span);
    if (known === undefined) periods.set(node.span, [period]);
    else known.push(period);
  }
  return periods;
}

type Node = NodeOf<Item>;

function isOwn({ span }: Item): boolean {
  return span.isAdopted !== true;
}

/** By the Worker's clock, as are all times on the way. */
function ownEnd({ span: { startUs, endUs }, shiftUs }: Item): number {
  return endUs === undefined ? OPEN_US : Math.max(startUs, endUs) + shiftUs;
}

/** Returns a tree in which each span lasts until the last of those below it has ended. */
function lengthened(root: Item): Node {
  const order: Item[] = [root];
  const parents: number[] = [-1];
  for (let at = 0; at < order.length; at++) {
    for (const child of (order[at] as Item).children) {
      if (!isOwn(child)) continue;
      order.push(child);
      parents.push(at);
    }
  }
  const below: (Node[] | undefined)[] = [];
  // Children come after their parents, so each is finished before its parent is.
  for (let at = order.length - 1; ; at--) {
    const item = order[at] as Item;
    const children = below[at] ?? [];
    const endUs = children.reduce((end, child) => Math.max(end, child.endUs), ownEnd(item));
    const node: Node = { span: item, startUs: item.span.startUs + item.shiftUs, endUs, children };
    const parent = parents[at] as number;
    if (parent < 0) return node;
    const siblings = below[parent];
    if (siblings === undefined) below[parent] = [node];
    else siblings.push(node);
  }
}
