/** What a search finds, and the way from one match to the next. Pure. */
import type { Item } from "./item.ts";
import { hasFailed, type Model } from "./model.ts";

/** Returns the spans whose name contains a text; case does not count. Attributes are searched by the API. */
export function nameMatches({ order }: Model, query: string): Set<string> {
  const wanted = query.trim().toLowerCase();
  const found = new Set<string>();
  if (wanted === "") return found;
  // A trace has few different names.
  const known = new Map<string, boolean>();
  for (const { span } of order) {
    const { name, spanId } = span;
    const matches = known.get(name) ?? name.toLowerCase().includes(wanted);
    known.set(name, matches);
    if (matches || spanId === wanted) found.add(spanId);
  }
  return found;
}

/**
 * Returns the next item that is wanted, from top to bottom; after the last one it begins anew.
 * @param fromId the span to begin at, which is not returned unless it is the only one
 */
export function nextItem(
  { order, items }: Model,
  fromId: string | undefined,
  by: 1 | -1,
  isWanted: (item: Item) => boolean,
): Item | undefined {
  const from = fromId === undefined ? undefined : items.get(fromId);
  const start = from === undefined ? (by === 1 ? -1 : order.length) : order.indexOf(from);
  for (let step = 1; step <= order.length; step++) {
    const item = order[wrapped(start + by * step, order.length)];
    if (item !== undefined && isWanted(item)) return item;
  }
  return undefined;
}

function wrapped(index: number, length: number): number {
  return ((index % length) + length) % length;
}

/**
 * Returns which spans the way to the next error leads to: those that failed by themselves, while none of those below them did. A failure
 * is shown where it began. Spans of the agent's programs count only if none of Valet's own failed.
 */
export function errorSources({ errorCount }: Pick<Model, "errorCount">): (item: Item) => boolean {
  const counts = ({ span }: Item) => hasFailed(span) && (span.isAdopted !== true || errorCount === 0);
  return (item) => counts(item) && !item.children.some(counts);
}
