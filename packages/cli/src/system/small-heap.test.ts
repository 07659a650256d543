import { getHeapSpaceStatistics } from "node:v8";
import { expect, test } from "vitest";
import { shrinkHeap } from "./small-heap.ts";

const MiB = 1024 * 1024;
const youngBytes = () =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? NaN;

/** Allocates some 200 MB, of which a part survives for a while. */
function work(): number {
  let recent: object[] = [];
  for (let index = 0; index < 2_000_000; index++) {
    recent.push({ index, text: [index] });
    if (recent.length > 100_000) recent = [];
  }
  return recent.length;
}

test("the space for young objects is small after a start, and stays small", () => {
  work();
  expect(youngBytes()).toBeGreaterThan(8 * MiB);
  shrinkHeap();
  expect(youngBytes()).toBeLessThanOrEqual(4 * MiB);
  work();
  expect(youngBytes()).toBeLessThanOrEqual(4 * MiB);
  expect("gc" in globalThis).toBe(false);
});
