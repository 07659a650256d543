/** The critical path of a tree of spans: which span each instant belongs to. Pure. */
import type { Node } from "./forest.ts";
import type { WhySpan } from "./spans.ts";
import type { Step } from "./step.ts";

/** A period that was spent on one thing. */
export interface Segment {
  readonly startUs: number;
  /** After the start. */
  readonly endUs: number;
  /** From the outermost level to the innermost; not empty. */
  readonly path: readonly Step[];
}

/** A part of a window that is a span's own: none of its children explains it. */
export interface OwnTime<S = WhySpan> {
  readonly node: Node<S>;
  readonly startUs: number;
  readonly endUs: number;
  /** The levels around the span. */
  readonly around: readonly Step[];
}

/**
 * Walks back from the end of the window: the child that ends last is what its parent waited for, from its start on; before that
 * the child that ended last by then, and so on. So parallel work counts once, for what was waited for. A child is clipped to the
 * window of its parent.
 * @param aroundOf returns the levels around a span's children, given those around the span itself
 * @returns periods that cover the part of the window that the root has, in order of time
 */
export function criticalPath<S = WhySpan>(
  root: Node<S>,
  startUs: number,
  endUs: number,
  around: readonly Step[],
  aroundOf: (node: Node<S>, around: readonly Step[]) => readonly Step[],
): OwnTime<S>[] {
  const own: OwnTime<S>[] = [];
  const from = Math.max(startUs, root.startUs);
  const to = Math.min(endUs, root.endUs);
  const left: OwnTime<S>[] = from < to ? [{ node: root, startUs: from, endUs: to, around }] : [];
  for (let window = left.pop(); window !== undefined; window = left.pop()) {
    const { node } = window;
    const inner = node.children.length === 0 ? window.around : aroundOf(node, window.around);
    let cursor = window.endUs;
    // Of those that end together, or are both open, the one that began first was waited for longest.
    for (const child of node.children.toSorted((a, b) => b.endUs - a.endUs || a.startUs - b.startUs)) {
      const childEnd = Math.min(child.endUs, cursor);
      const childStart = Math.max(child.startUs, window.startUs);
      if (childStart >= childEnd) continue;
      if (childEnd < cursor) own.push({ ...window, startUs: childEnd, endUs: cursor });
      left.push({ node: child, startUs: childStart, endUs: childEnd, around: inner });
      cursor = childStart;
    }
    if (cursor > window.startUs) own.push({ ...window, endUs: cursor });
  }
  return own.sort((a, b) => a.startUs - b.startUs);
}

/**
 * Returns segments that cover a window exactly: clipped to it, in order, without overlaps, and with `rest` where there was none.
 */
export function covering(
  segments: readonly Segment[],
  startUs: number,
  endUs: number,
  rest: readonly Step[],
): Segment[] {
  const covered: Segment[] = [];
  let cursor = startUs;
  const add = (until: number, path: readonly Step[]) => {
    if (until > cursor) covered.push({ startUs: cursor, endUs: until, path });
    cursor = Math.max(cursor, until);
  };
  for (const segment of segments.toSorted((a, b) => a.startUs - b.startUs)) {
    add(Math.min(segment.startUs, endUs), rest);
    add(Math.min(segment.endUs, endUs), segment.path);
  }
  add(endUs, rest);
  return covered;
}

/**
 * Returns segments where `over` replaces `under`: in its place wherever both are, and nothing elsewhere. Both are sorted by their start;
 * `under` is disjoint, and where segments of `over` overlap, the first one counts.
 */
export function overlaid(
  under: readonly Segment[],
  over: readonly Segment[],
  isReplaced: (segment: Segment) => boolean = () => true,
): Segment[] {
  if (over.length === 0) return [...under];
  const result: Segment[] = [];
  let first = 0;
  for (const segment of under) {
    let cursor = segment.startUs;
    while ((over[first]?.endUs ?? Infinity) <= cursor) first++;
    for (let i = first; isReplaced(segment); i++) {
      const cover = over[i];
      if (cover === undefined || Math.max(cover.startUs, cursor) >= segment.endUs) break;
      if (cover.endUs <= Math.max(cover.startUs, cursor)) continue;
      if (cover.startUs > cursor) result.push({ ...segment, startUs: cursor, endUs: cover.startUs });
      const from = Math.max(cover.startUs, cursor);
      cursor = Math.min(cover.endUs, segment.endUs);
      result.push({ startUs: from, endUs: cursor, path: [...segment.path.slice(0, -1), ...cover.path] });
    }
    if (cursor < segment.endUs) result.push({ ...segment, startUs: cursor });
  }
  return result;
}
