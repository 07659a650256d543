/** Keys of list items that have no id. Pure. */

/**
 * Returns each item with a key: what it says, and which one of those that say the same it is. Items that are added or leave do not
 * change the keys of the others.
 */
export function withKeys<Item>(
  items: readonly Item[],
  textOf: (item: Item) => string,
): { readonly key: string; readonly item: Item }[] {
  const counts = new Map<string, number>();
  return items.map((item) => {
    const text = textOf(item);
    const count = (counts.get(text) ?? 0) + 1;
    counts.set(text, count);
    return { key: `${count} ${text}`, item };
  });
}
