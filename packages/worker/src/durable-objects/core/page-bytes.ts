/** Pages close by bytes, too: a call between Worker and object carries 32 MiB at the most, and a client has to hold what it asks for. */

/** Of a page as JSON. The item that goes past it is the page's last, and no item of ours has more than a few MiB. */
export const PAGE_BYTES = 4 * 1024 * 1024;

/**
 * Takes items until they fill a page.
 * @param shape makes what is shown of an item; called for those that are taken alone
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
