/** Measures the heap of this process, on Node and on Bun. */
import { getHeapStatistics } from "node:v8";

declare const Bun: { gc(synchronously: boolean): void } | undefined;
declare const gc: (() => void) | undefined;

interface BunHeap {
  /**
   * The size of the cells alive after the last collection, and of the text and arrays that they own outside the heap.
   */
  heapStats(): { heapSize: number; extraMemorySize: number };
}

const isBun = typeof Bun !== "undefined";
const bunHeap: BunHeap | undefined = isBun ? await import("bun:jsc" as string) : undefined;

/** Flags that {@link allocatedBytes} needs: garbage is collected only on request. */
export const NO_COLLECTION = {
  // V8 collects when its young generation is full, so it is made larger than any sample.
  nodeFlags: ["--min-semi-space-size=256", "--max-semi-space-size=256"],
  env: { BUN_JSC_useGC: "0" },
} as const;

/** Needs `--expose-gc` on Node. */
export function collectGarbage(): void {
  if (isBun) Bun.gc(true);
  else if (typeof gc !== "undefined") gc();
  else throw new Error("node must be run with --expose-gc");
}

/** Returns the bytes in use after a garbage collection. */
export function retainedBytes(): number {
  collectGarbage();
  if (bunHeap === undefined) return getHeapStatistics().used_heap_size;
  const { heapSize, extraMemorySize } = bunHeap.heapStats();
  return heapSize + extraMemorySize;
}

/**
 * Returns the allocated bytes, to compare two readings of a process that runs with {@link NO_COLLECTION}. Bun counts
 * its heap only when it collects, so there it is the memory of the whole process, in pages.
 */
export function allocatedBytes(): number {
  return isBun ? process.memoryUsage.rss() : getHeapStatistics().used_heap_size;
}
