import type { SpanFrame } from "@valet/shared/protocol/span-frame";
import { describe, expect, test } from "vitest";
import { TraceFrames } from "./trace-frames.ts";

function setUp() {
  const stored: number[][] = [];
  let onStored = () => {};
  const frames = new TraceFrames((taken: readonly SpanFrame[]) => {
    stored.push(taken.map(({ seq }) => seq));
    onStored();
  });
  return {
    stored,
    frames,
    add: (seq: number, length = 10) => frames.add({ instanceId: "run_1", seq, otlp: "x".repeat(length) }),
    untilStored: () => new Promise<void>((resolve) => (onStored = resolve)),
  };
}

describe("frames in quick succession", () => {
  test("are stored together and in order, within the wait time", async () => {
    const { stored, add, untilStored } = setUp();
    for (const seq of [1, 2, 3]) add(seq);
    expect(stored).toEqual([]);
    await untilStored();
    expect(stored).toEqual([[1, 2, 3]]);
  });

  test("are stored at once when they fill a segment", () => {
    const { stored, add } = setUp();
    for (let seq = 1; seq <= 20; seq++) add(seq, 60_000);
    expect(stored.length).toBe(2);
    expect(stored.flat()).toEqual(Array.from({ length: 18 }, (_, i) => i + 1));
  });

  test("are stored by `flush`, once", () => {
    const { stored, frames, add } = setUp();
    add(1);
    frames.flush();
    frames.flush();
    expect(stored).toEqual([[1]]);
  });
});
