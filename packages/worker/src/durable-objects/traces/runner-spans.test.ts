/** Span frames whose transaction fails: they are stored later, before an acknowledgement of a later one covers them. */

import type { SpanFrame } from "@valet/shared/protocol/span-frame";
import { describe, expect, test, vi } from "vitest";
import { makeFrame } from "../../../test/otlp.ts";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import { RunnerSpans } from "./runner-spans.ts";

function setUp(rooms: Rooms) {
  const stored: number[] = [];
  const reported: unknown[] = [];
  let isFull = false;
  let isBroken = false;
  const spans = new RunnerSpans({
    ...rooms,
    traces: {
      acceptFrames: (frames) => {
        if (isFull) throw new Error("database or disk is full");
        stored.push(...frames.map(({ seq }) => seq));
        return new Map([["run_1", frames.at(-1)?.seq ?? 0]]);
      },
      store: () => {
        if (isBroken) throw new Error("the object's own spans cannot be stored");
      },
      reload: () => {},
    },
    tracing: true,
    report: (error) => void reported.push(error),
  });
  const otlp = makeFrame({ name: "span" });
  return {
    spans,
    stored,
    reported,
    setFull: (to: boolean) => {
      isFull = to;
    },
    breakStore: () => {
      isBroken = true;
    },
    take: (seq: number) => rooms.run(() => spans.take({ instanceId: "run_1", seq, otlp })),
    add: (seq: number, more: Partial<SpanFrame> = {}) => spans.add({ instanceId: "run_1", seq, otlp, ...more }),
    acknowledged: () => rooms.sent("spans-ack").map(({ seq }) => seq),
  };
}

describe("span frames that cannot be stored", () => {
  test("are stored before those that arrive later, and acknowledged then", () =>
    inRooms((rooms) => {
      const { spans, add, stored, reported, setFull, acknowledged } = setUp(rooms);
      setFull(true);
      add(1);
      add(2);
      spans.flush();
      expect([stored, reported.length, acknowledged()]).toEqual([[], 1, []]);
      setFull(false);
      add(3);
      spans.flush();
      expect([stored, acknowledged()]).toEqual([[1, 2, 3], [3]]);
    }));

  test("with the end of an attempt do not prevent it, and are stored before those that arrive later", () =>
    inRooms((rooms) => {
      const { spans, add, take, stored, reported, setFull, acknowledged } = setUp(rooms);
      add(1);
      setFull(true);
      expect(take(2)).toBeUndefined();
      expect([stored, reported.length, acknowledged()]).toEqual([[], 1, []]);
      setFull(false);
      expect(take(3)).toEqual({ instanceId: "run_1", seq: 3 });
      expect([stored, acknowledged()]).toEqual([[1, 2, 3], []]);
      spans.flush();
      expect(stored).toHaveLength(3);
    }));

  test("with an end that is rolled back are kept, too", () =>
    inRooms((rooms) => {
      const { spans, add, stored, acknowledged } = setUp(rooms);
      const lose = () =>
        rooms.run(() => {
          spans.take({ instanceId: "run_1", seq: 1, otlp: "" });
          throw new Error("no");
        });
      expect(lose).toThrow("no");
      add(2);
      stored.length = 0;
      spans.flush();
      expect([stored, acknowledged()]).toEqual([[1, 2], [2]]);
    }));

  test("do not prevent an end, but the object's own spans of its transaction do", () =>
    inRooms((rooms) => {
      const { add, take, breakStore, reported } = setUp(rooms);
      add(1);
      breakStore();
      expect(() => take(2)).toThrow("own spans");
      expect(reported).toEqual([]);
    }));

  test("because the transaction that they are part of is rolled back are kept, too", () =>
    inRooms((rooms) => {
      const { spans, add, acknowledged } = setUp(rooms);
      add(1);
      const lose = () =>
        rooms.run(() => {
          spans.flush();
          throw new Error("no");
        });
      expect(lose).toThrow("no");
      expect(acknowledged()).toEqual([]);
      add(2);
      spans.flush();
      expect(acknowledged()).toEqual([2]);
    }));

  test("in a transaction of something else do not prevent that, and are stored before those that arrive later", () =>
    inRooms((rooms) => {
      const { spans, add, stored, reported, setFull, acknowledged } = setUp(rooms);
      add(1);
      setFull(true);
      rooms.run(() => spans.flush());
      expect([stored, reported.length, acknowledged()]).toEqual([[], 1, []]);
      setFull(false);
      add(2);
      spans.flush();
      expect([stored, acknowledged()]).toEqual([[1, 2], [2]]);
    }));

  test("are stored after a while though no other arrives", () =>
    inRooms(async (rooms) => {
      const { spans, add, stored, setFull, acknowledged } = setUp(rooms);
      setFull(true);
      add(1);
      spans.flush();
      setFull(false);
      await vi.waitFor(() => expect(acknowledged()).toEqual([1]), 20_000);
      expect(stored).toEqual([1]);
    }));

  test("are dropped beyond 32 MiB: no runner has as much unacknowledged", () =>
    inRooms((rooms) => {
      const { spans, add, stored, setFull } = setUp(rooms);
      setFull(true);
      const otlp = "x".repeat(600 * 1024);
      // Each one fills a batch.
      for (let seq = 1; seq <= 60; seq++) add(seq, { otlp });
      setFull(false);
      spans.flush();
      expect(stored.length).toBeLessThan(60);
      expect(stored).toEqual([...stored].sort((a, b) => a - b));
    }));
});
