// The certificate after faults: it agrees with the ids that the backend has, and is complete if nothing is lost.
import { encodeTraces, type ReadableSpan, serialiseSpan } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { certifiedStore, frame, openSpans } from "../../../test/certified-store.ts";
import { inStorage } from "../../../test/in-storage.ts";
import { makeFrame, makeSpans } from "../../../test/otlp.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const unreachable = () => Promise.reject(Object.assign(new Error("fetch failed"), { code: "ECONNREFUSED" }));
const accepting = () => new Response(null, { status: 200 });

/** Returns a turn's spans in two frames, the second of which is not announced by the first. */
function turn() {
  const root = makeSpans({ name: "valet.turn" })[0] as ReadableSpan;
  const steps = makeSpans({ name: "chat", parent: root.context }, { name: "chat", parent: root.context });
  const first = frame(1, encodeTraces({}, steps));
  const second = frame(2, encodeTraces({}, [root]));
  return { traceId: root.context.traceId, first, second };
}

describe("the backend", () => {
  test("is away for ten minutes and comes back: nothing is lost, and nothing is sent twice", () =>
    inStorage(async (storage) => {
      const { world, begin, sendWhenDue, agreed } = certifiedStore(storage);
      const root = begin("valet.prompt");
      const { traceId } = root.context;
      const awayUntilMs = world.nowMs + 10 * MINUTE_MS;
      world.answer = unreachable;
      let attempts = 0;
      while (world.nowMs < awayUntilMs) {
        // The session goes on meanwhile.
        begin("valet.queue.wait", root.context).end();
        await sendWhenDue();
        attempts++;
        expect(agreed(traceId)).toMatchObject({ state: "pending", open: 1, export: { acknowledged: 0 } });
      }
      // Its delays grow to half a minute.
      expect(attempts).toBeLessThan(50);
      root.end();
      expect(agreed(traceId)).toMatchObject({ export: { waiting: attempts + 1, reason: "ECONNREFUSED" } });
      world.answer = accepting;
      await sendWhenDue();
      expect(agreed(traceId)).toMatchObject({ state: "complete", known: attempts + 1, export: { reason: null } });
      expect(world.received).toHaveLength(attempts + 1);
    }));

  test("is away when the clock is moved by an hour: what waits is sent at the latest an hour later", () =>
    inStorage(async (storage) => {
      for (const movedMs of [HOUR_MS, -HOUR_MS]) {
        const { world, begin, fold, sendWhenDue, pass, agreed, exporter } = certifiedStore(storage);
        const before = begin("valet.prompt");
        begin("valet.queue.wait", before.context).end();
        world.answer = unreachable;
        await sendWhenDue();
        pass(movedMs);
        before.end();
        const { traceId } = before.context;
        expect(agreed(traceId)).toMatchObject({ state: "pending", export: { waiting: 2 } });
        fold();
        expect((exporter.dueAtMs() ?? Infinity) - world.nowMs).toBeLessThanOrEqual(HOUR_MS + MINUTE_MS);
        world.answer = accepting;
        await sendWhenDue();
        expect(agreed(traceId)).toMatchObject({ state: "complete", known: 2, repeated: 0, unnamed: 0 });
      }
    }));

  test("has taken a request when the object is evicted: it gets it again, and the certificate counts it once", () =>
    inStorage(async (storage) => {
      const { world, begin, fold, exporter, evicted, agreed } = certifiedStore(storage);
      const span = begin("valet.prompt");
      const { traceId } = span.context;
      span.end();
      fold();
      exporter.tryAgain();
      let arrives = () => {};
      const arrived = new Promise<void>((resolve) => {
        arrives = resolve;
      });
      // Its answer never comes back.
      world.answer = () => {
        arrives();
        return new Promise(() => {});
      };
      void exporter.start();
      await arrived;
      expect(agreed(traceId)).toMatchObject({ state: "pending", export: { waiting: 1 } });
      const after = evicted();
      world.received.push({ traceId, spanId: span.context.spanId });
      world.answer = accepting;
      await after.sendWhenDue();
      expect(after.agreed(traceId)).toMatchObject({ state: "complete", known: 1, export: { acknowledged: 1 } });
      expect(world.received).toHaveLength(2);
    }));
});

describe("the object", () => {
  test("is evicted between store and export, before and after its tail is folded", () =>
    inStorage(async (storage) => {
      const { world, begin, evicted, agreed } = certifiedStore(storage);
      const root = begin("valet.prompt");
      const { traceId } = root.context;
      begin("valet.queue.wait", root.context).end();
      let now = evicted();
      expect(now.agreed(traceId)).toMatchObject({ state: "pending", open: 1, export: { waiting: 1 } });
      now.fold();
      now = evicted();
      expect(now.agreed(traceId)).toMatchObject({ state: "pending", open: 1, export: { waiting: 1 } });
      now.store.openSpan(root.context.spanId);
      root.end();
      expect(agreed(traceId)).toMatchObject({ open: 0, export: { waiting: 2 } });
      now = evicted();
      await now.sendWhenDue();
      expect(now.agreed(traceId)).toMatchObject({ state: "complete", known: 2 });
      expect(world.received).toHaveLength(2);
    }));

  test("cannot write, since its disk is full: what it has not acknowledged comes again, and nothing is lost", () =>
    inStorage(async (storage) => {
      const { world, store, send, evicted } = certifiedStore(storage);
      const { traceId, first, second } = turn();
      store.acceptFrames([first]);
      world.isDiskFull = true;
      expect(() => store.acceptFrames([second])).toThrow("SQLITE_FULL");
      await expect(send()).rejects.toThrow("SQLITE_FULL");
      // The platform resets an object whose disk is full.
      world.isDiskFull = false;
      const after = evicted();
      expect(after.agreed(traceId)).toMatchObject({ state: "pending", known: 2, export: { waiting: 2 } });
      after.store.acceptFrames([second]);
      await after.send();
      expect(after.agreed(traceId)).toMatchObject({ state: "complete", known: 3, dropped: [], repeated: 0 });
    }));

  test("cannot record that the backend has a request, since its disk is full: it sends that again", () =>
    inStorage(async (storage) => {
      const { world, begin, fold, exporter, evicted } = certifiedStore(storage);
      const span = begin("valet.prompt");
      span.end();
      fold();
      exporter.tryAgain();
      world.answer = () => {
        world.isDiskFull = true;
        return accepting();
      };
      await expect(exporter.start()).rejects.toThrow("SQLITE_FULL");
      world.isDiskFull = false;
      world.answer = accepting;
      const after = evicted();
      await after.sendWhenDue();
      expect(after.agreed(span.context.traceId)).toMatchObject({ state: "complete", known: 1, repeated: 0 });
      expect(world.received).toHaveLength(2);
    }));
});

describe("a frame", () => {
  test("is stored, and the link is cut before its acknowledgement: its repeat changes nothing", () =>
    inStorage(async (storage) => {
      const { store, evicted } = certifiedStore(storage);
      const { traceId, first, second } = turn();
      expect(store.acceptFrames([first]).get("run_1")).toBe(1);
      // The runner connects again, to the object as it was, and to one that was evicted meanwhile.
      for (const again of [store, evicted().store]) expect(again.acceptFrames([first, second]).get("run_1")).toBe(2);
      const after = evicted();
      await after.send();
      expect(after.agreed(traceId)).toMatchObject({ state: "complete", known: 3, repeated: 0, late: 0, refused: 0 });
    }));

  test("arrives twice: at once, and after its spans have been sent", () =>
    inStorage(async (storage) => {
      const { world, store, send, agreed } = certifiedStore(storage);
      const { traceId, first, second } = turn();
      store.acceptFrames([first, first]);
      await send();
      store.acceptFrames([first]);
      store.acceptFrames([second, first, second]);
      await send();
      expect(agreed(traceId)).toMatchObject({ state: "complete", known: 3, repeated: 0 });
      expect(world.received.filter((span) => span.traceId === traceId)).toHaveLength(3);
    }));

  test("cannot be read: its spans are missing at the backend, and those of its neighbours are there", () =>
    inStorage(async (storage) => {
      const { store, send, agreed } = certifiedStore(storage);
      const open = openSpans(2);
      const parent = open[0]?.context as ReadableSpan["context"];
      const { traceId } = parent;
      const ids = open.map(({ context }) => context.spanId);
      const spans = open.map((span) => serialiseSpan(span as unknown as ReadableSpan));
      const neighbour = makeSpans({ parent })[0] as ReadableSpan;
      store.acceptFrames([
        frame(1, makeFrame(), { open: spans }),
        frame(2, "\u0000", { ids: [[traceId, ids.join("")]] }),
        frame(3, encodeTraces({}, [neighbour])),
      ]);
      await send();
      const certificate = agreed(traceId);
      expect(certificate).toMatchObject({ state: "incomplete", known: 3, open: 0, export: { acknowledged: 1 } });
      expect(new Set(certificate?.missing)).toEqual(new Set(ids));
      expect(certificate?.spanIds?.acknowledged).toEqual([neighbour.context.spanId]);
    }));
});
