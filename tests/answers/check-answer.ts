/** What every answer `why` must hold to, whatever it is about. */
import { expect } from "vitest";
import type { Part, WhyView } from "../../packages/shared/src/protocol/why.ts";

/** By how much a planted delay may seem shorter: clocks of processes and timers of models differ by some ms. */
export const MARGIN_MS = 50;

/** Returns the milliseconds that no span explains, on any level. */
function unattributedMs(parts: readonly Part[]): number {
  return parts.reduce((sum, { name, ms, parts: inner }) => {
    return sum + (name === "unattributed" ? ms : unattributedMs(inner));
  }, 0);
}

function addsUp(parts: readonly Part[], ms: number, what: string): void {
  if (parts.length === 0 && what !== "the wall time") return;
  const sum = parts.reduce((total, part) => total + part.ms, 0);
  expect(sum, `the parts of ${what}`).toBe(ms);
  for (const part of parts) {
    expect(part.ms, part.name).toBeGreaterThan(0);
    addsUp(part.parts, part.ms, part.name);
  }
}

/** Expects that parts add up on every level, and that they explain all but the larger of 100 ms and 1 %. */
export function expectSound(view: WhyView): void {
  const { wall_ms, parts } = view.time;
  addsUp(parts, wall_ms, "the wall time");
  const largest = parts.map(({ ms }) => ms);
  expect(largest).toEqual(largest.toSorted((a, b) => b - a));
  const bound = Math.max(100, wall_ms * 0.01);
  expect(unattributedMs(parts), JSON.stringify(view.time)).toBeLessThanOrEqual(bound);
}

/** Expects that the largest part is this one, and at least as long as the delay that was planted. @returns it */
export function expectLargest(view: WhyView, part: Partial<Part>, plantedMs: number): Part {
  expectSound(view);
  const [largest] = view.time.parts;
  expect(largest, view.sentence).toMatchObject(part);
  expect(largest?.ms, view.sentence).toBeGreaterThanOrEqual(plantedMs - MARGIN_MS);
  return largest as Part;
}
