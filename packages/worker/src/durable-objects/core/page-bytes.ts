/** Limits pages in bytes: a call between Worker and object carries at most 32 MiB, and a client has to hold a page in memory. */

/** The size of a page as JSON. The item that exceeds it is the page's last; no item has more than a few MiB. */
export const PAGE_BYTES = 4 * 1024 * 1024;

/**
 * Returns the views of as many items as fill a page.
 * @param shape returns the view of an item; called only for items of the page
 */
export function fillPage<R, V>(items: readonly R[], shape: (item: R) => V): V[] {
  const page: V[] = [];
  let bytes = 0;
  for (const item of items) {
    if (bytes >= PAGE_BYTES) break;
    const view = shape(item);
    bytes += Buffer.byteLength(JSON.stringify(view));
    page.push(view);
  }
  return page;
}
