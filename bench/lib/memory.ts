/** The heap of this process, on Node and on Bun. */
import { getHeapStatistics } from "node:v8";

declare const Bun: { gc(synchronously: boolean): void } | undefined;
declare const gc: (() => void) | undefined;

interface BunHeap {
  /** The cells alive after the last collection, and the text and arrays they own outside the heap. */
  heapStats(): { heapSize: number; extraMemorySize: number };
}

const isBun = typeof Bun !== "undefined";
const bunHeap: BunHeap | undefined = isBun ? await import("bun:jsc" as string) : undefined;

/** Makes {@link allocatedBytes} right: nothing is collected until that is asked for. */
export const NO_COLLECTION = {
  // V8 collects when its young generation is full, so that is made larger than any sample.
  nodeFlags: ["--min-semi-space-size=256", "--max-semi-space-size=256"],
  env: { BUN_JSC_useGC: "0" },
} as const;

/** On Node it needs `--expose-gc`. */
export function collectGarbage(): void {
  if (isBun) Bun.gc(true);
  else if (typeof gc !== "undefined") gc();
  else throw new Error("node must be run with --expose-gc");
}

/** Bytes that are in use once garbage has been collected. */
export function retainedBytes(): number {
  collectGarbage();
  if (bunHeap === undefined) return getHeapStatistics().used_heap_size;
  const { heapSize, extraMemorySize } = bunHeap.heapStats();
  return heapSize + extraMemorySize;
}

/**
 * Bytes that have been allocated, to compare two readings of a process run with {@link NO_COLLECTION}. Bun counts its heap
 * only when it collects, so there the memory of the whole process stands for it, in pages.
 */
export function allocatedBytes(): number {
  return isBun ? process.memoryUsage.rss() : getHeapStatistics().used_heap_size;
}
