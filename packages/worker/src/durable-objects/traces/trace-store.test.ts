import { MAX_OPEN_SPANS } from "@valet/shared/protocol/span-frame";
import type { ReadableSpan } from "@valet/shared/tracing";
import { alwaysOff, encodeTraces, parseOpenSpan, recordDropped, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { upgradeFromAd59303 } from "../../../test/old-tables.ts";
import { attributeOf, makeFrame, makeSpans, SESSION, spansOf, type WireSpan } from "../../../test/otlp.ts";
import { type SegmentList, segmentAfter } from "./segment-cursor.ts";
import { TraceStore } from "./trace-store.ts";

const NOW = 1_700_000_000_000;

function open(
  storage: DurableObjectStorage,
  options: { maxBytes?: number; now?: () => number; runnerAheadMs?: number } = {},
) {
  const store = new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: { "service.name": "valet-worker" },
    segmentDelayMs: 5000,
    maxBytes: options.maxBytes ?? 1e9,
    now: options.now ?? (() => NOW),
    known: {
      originOf: () => ({ userId: "" }),
      answeredBy: () => undefined,
      runnerAheadMs: () => options.runnerAheadMs ?? 0,
    },
  });
  const tracer = new Tracer({ scope: { name: "test" }, processor: store });
  return {
    store,
    tracer,
    begin: (name: string) => tracer.startSpan(name, { attributes: { "valet.session.id": SESSION } }),
  };
}

async function read(store: TraceStore, traceId: string): Promise<WireSpan[]> {
  const stream = store.reader.trace(traceId);
  return stream === undefined ? [] : spansOf(await new Response(stream).text());
}

async function all(store: TraceStore): Promise<WireSpan[]> {
  const traces = await Promise.all(store.reader.traces().map(({ traceId }) => read(store, traceId)));
  return traces.flat();
}

async function names(store: TraceStore): Promise<string[]> {
  return (await all(store)).map(({ name }) => name).sort();
}

function acceptFrame(store: TraceStore, instanceId: string, seq: number, otlp: string): number | undefined {
  return store.acceptFrames([{ instanceId, seq, otlp }]).get(instanceId);
}

/** Returns how many spans were counted as lost for this reason, after folding the tail. */
async function dropped(store: TraceStore, reason: string): Promise<number> {
  store.fold();
  const reports = (await all(store)).filter(({ name }) => name === "valet.trace_plane.dropped");
  return reports.reduce((sum, each) => sum + Number(attributeOf(each, `valet.dropped_spans.${reason}`) ?? 0), 0);
}

function rowCount(storage: DurableObjectStorage, table: string): number {
  return storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`).one().n;
}

/** Returns an open span as a runner announces it. */
function openSpan(name: string, sessionId = SESSION) {
  const started: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "runner" },
    processor: { onStart: (span) => started.push(span), onEnd: () => {} },
  });
  const span = tracer.startSpan(name, { attributes: { "valet.session.id": sessionId } });
  const serialised = parseOpenSpan(serialiseSpan(started[0] as ReadableSpan));
  if (serialised === undefined) throw new Error("the span cannot be read back");
  return { span, serialised };
}

describe("the object's own spans", () => {
  test("are visible while open, and after their end", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      const span = begin("valet.prompt");
      expect(await all(store)).toMatchObject([{ name: "valet.prompt" }]);
      expect((await all(store))[0]?.endTimeUnixNano).toBeUndefined();
      span.end();
      expect(await all(store)).toHaveLength(1);
      expect((await all(store))[0]?.endTimeUnixNano).toBeDefined();
    }));

  test("are written in the transaction of the state that they describe", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      const fail = () =>
        storage.transactionSync(() => {
          begin("half").end();
          begin("half open");
          throw new Error("the state change failed");
        });
      expect(fail).toThrow("the state change failed");
      expect(await all(store)).toEqual([]);
    }));

  test("survive a restart of the object and are resumed", async () => {
    const name = crypto.randomUUID();
    const spanId = await inStorage((storage) => open(storage).begin("valet.prompt").context.spanId, name);
    await inStorage(async (storage) => {
      const { store, tracer } = open(storage);
      const stored = store.openSpan(spanId);
      if (stored === undefined) throw new Error("the span is gone");
      const span = tracer.resumeSpan(stored);
      span.setAttribute("valet.outcome", "ok");
      span.end();
      expect(await all(store)).toMatchObject([{ spanId, name: "valet.prompt" }]);
      expect(attributeOf((await all(store))[0], "valet.outcome")).toBe("ok");
    }, name);
  });
});

describe("span frames", () => {
  test("are acknowledged by number, and repeats are ignored", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      const first = makeFrame({ name: "a" });
      expect(acceptFrame(store, "run_1", 1, first)).toBe(1);
      expect(acceptFrame(store, "run_1", 1, first)).toBe(1);
      expect(acceptFrame(store, "run_1", 2, makeFrame({ name: "b" }))).toBe(2);
      expect(acceptFrame(store, "run_1", 1, first)).toBe(2);
      expect(await names(store)).toEqual(["a", "b"]);
    }));

  test("of different instances are distinguished: a successor delivers its predecessor's spans", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      acceptFrame(store, "run_1", 1, makeFrame({ name: "a" }));
      acceptFrame(store, "run_2", 1, makeFrame({ name: "b" }));
      acceptFrame(store, "run_1", 2, makeFrame({ name: "left behind" }));
      expect(await names(store)).toEqual(["a", "b", "left behind"]);
    }));

  test("can be stored together: repeats among them are ignored, and each instance has its own number", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      const frame = (instanceId: string, seq: number) => ({
        instanceId,
        seq,
        otlp: makeFrame({ name: `${instanceId}/${seq}` }),
      });
      acceptFrame(store, "run_1", 1, makeFrame({ name: "before" }));
      const frames = [frame("run_1", 1), frame("run_1", 2), frame("run_2", 7), frame("run_1", 2)];
      expect([...store.acceptFrames(frames)]).toEqual([
        ["run_1", 2],
        ["run_2", 7],
      ]);
      expect(await names(store)).toEqual(["before", "run_1/2", "run_2/7"]);
    }));

  test("do not end a span that the object itself holds open", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      const span = begin("valet.prompt");
      acceptFrame(
        store,
        "run_1",
        1,
        makeFrame({ name: "forged" }).replace(/"traceId":"\w+","spanId":"\w+"/, ids(span)),
      );
      expect(store.openSpan(span.context.spanId)?.name).toBe("valet.prompt");
      expect(await dropped(store, "invalid")).toBe(1);
      span.end();
      expect(await names(store)).toEqual(["valet.prompt", "valet.trace_plane.dropped"]);
    }));

  test("that are malformed are acknowledged and counted, since a retry would change nothing", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      expect(acceptFrame(store, "run_1", 1, "nonsense")).toBe(1);
      acceptFrame(store, "run_1", 2, makeFrame({ name: "ours" }, { name: "theirs", sessionId: "ses_other" }));
      store.fold();
      const report = (await all(store)).find(({ name }) => name === "valet.trace_plane.dropped");
      expect(attributeOf(report, "valet.dropped_spans.invalid")).toBe("2");
      expect(attributeOf(report, "valet.dropped_spans.rejected")).toBeUndefined();
      expect(await names(store)).toEqual(["ours", "valet.trace_plane.dropped"]);
    }));
});

describe("open spans of a runner", () => {
  test("are shown from their announcement to their end", () =>
    inStorage((storage) => {
      const { store } = open(storage);
      const { serialised } = openSpan("valet.turn");
      store.announce("run_1", serialised);
      expect(store.reader.traces()).toMatchObject([{ name: "valet.turn", openSpans: 1, spans: 0 }]);
      const ended = { ...serialised, scope: { name: "runner" } } as ReadableSpan;
      const text = makeFrame({ name: "valet.turn" }).replace(/"traceId":"\w+","spanId":"\w+"/, ids(ended));
      acceptFrame(store, "run_1", 1, text);
      expect(store.reader.traces()).toMatchObject([{ name: "valet.turn", openSpans: 0, spans: 1 }]);
    }));

  test("that are sealed name what ended the runner, where that is known", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      store.announce("run_1", openSpan("valet.turn").serialised);
      store.announce("run_2", openSpan("valet.turn").serialised);
      store.seal("run_1", "runner_lost", "sandbox_out_of_memory");
      store.seal("run_2", "runner_lost");
      const causes = (await all(store)).flatMap(({ attributes = [] }) =>
        attributes.filter(({ key }) => key === "valet.error.cause"),
      );
      expect(causes.map(({ value }) => value)).toEqual([{ stringValue: "sandbox_out_of_memory" }]);
    }));

  test("are sealed when the runner is lost, at its last sign of life; a later end is counted once, as late", () =>
    inStorage(async (storage) => {
      let now = NOW;
      const { store } = open(storage, { now: () => now });
      const { serialised } = openSpan("valet.turn");
      now = Date.now() + 60_000;
      store.announce("run_1", serialised);
      const lastSeen = now;
      now += 30_000;
      expect(store.seal("run_1", "runner_lost")).toBe(1);
      expect(store.seal("run_1", "runner_lost")).toBe(0);

      const late = makeFrame({ name: "valet.turn" }).replace(/"traceId":"\w+","spanId":"\w+"/, ids(serialised));
      acceptFrame(store, "run_1", 1, late);
      // The same frame again, and the same end from a successor.
      acceptFrame(store, "run_1", 1, late);
      acceptFrame(store, "run_2", 1, late);
      const [sealed, ...others] = (await all(store)).filter(({ name }) => name === "valet.turn");
      expect(others).toEqual([]);
      expect(attributeOf(sealed, "valet.outcome")).toBe("lost");
      expect(attributeOf(sealed, "valet.last_seen_ms")).toBe(String(lastSeen));
      // The reason is `error.type`, and nowhere else.
      expect(sealed).toMatchObject({ status: { code: 2 } });
      expect(JSON.stringify(sealed?.status)).not.toContain("runner_lost");
      expect(sealed?.endTimeUnixNano).toBe(`${lastSeen}000000`);
      store.fold();
      const report = (await all(store)).find(({ name }) => name === "valet.trace_plane.dropped");
      expect(attributeOf(report, "valet.dropped_spans.late")).toBe("1");
      expect(attributeOf(report, "valet.dropped_spans.rejected")).toBeUndefined();
      acceptFrame(store, "run_2", 2, late);
      expect(await dropped(store, "late")).toBe(1);
    }));

  test("that an earlier version sealed stay sealed, and their late ends are counted", () =>
    inStorage(async (storage) => {
      const { serialised } = openSpan("valet.turn");
      upgradeFromAd59303(storage, `INSERT INTO trace_sealed VALUES ('${serialised.context.spanId}')`);
      const { store } = open(storage);
      const late = makeFrame({ name: "valet.turn" }).replace(/"traceId":"\w+","spanId":"\w+"/, ids(serialised));
      acceptFrame(store, "run_1", 1, late);
      expect(await names(store)).toEqual([]);
      expect(await dropped(store, "late")).toBe(1);
    }));

  test("are sent in span frames, in order with the ends: an ended span is not open, within a frame or after a repeat", () =>
    inStorage((storage) => {
      const { store } = open(storage);
      const { serialised } = openSpan("chat mock-1");
      const begins = { instanceId: "run_1", seq: 1, otlp: NO_SPANS, open: [serialiseSpan(serialised)] };
      const text = makeFrame({ name: "chat mock-1" }).replace(/"traceId":"\w+","spanId":"\w+"/, ids(serialised));
      store.acceptFrames([begins]);
      expect(store.reader.traces()).toMatchObject([{ name: "chat mock-1", openSpans: 1, spans: 0 }]);
      store.acceptFrames([{ instanceId: "run_1", seq: 2, otlp: text }]);
      expect(store.reader.traces()).toMatchObject([{ openSpans: 0, spans: 1 }]);
      store.acceptFrames([begins, { ...begins, seq: 2 }]);
      expect(store.reader.traces()).toMatchObject([{ openSpans: 0, spans: 1 }]);
      const other = openSpan("execute_tool bash").serialised;
      const ended = makeFrame({ name: "execute_tool bash" }).replace(/"traceId":"\w+","spanId":"\w+"/, ids(other));
      store.acceptFrames([
        { ...begins, seq: 3, open: [serialiseSpan(other)] },
        { instanceId: "run_1", seq: 4, otlp: ended },
      ]);
      expect(store.reader.traces().map(({ openSpans, spans }) => [openSpans, spans])).toEqual([
        [0, 1],
        [0, 1],
      ]);
    }));

  test("are served with their runner's resource and its last sign of life", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      const { serialised } = openSpan("chat mock-1");
      const frame = { instanceId: "run_1", seq: 1, otlp: NO_SPANS, open: [serialiseSpan(serialised), "nonsense"] };
      store.acceptFrames([frame]);
      const stream = store.reader.trace(serialised.context.traceId, () => NOW + 5) as ReadableStream;
      const text = await new Response(stream).text();
      expect(text).toContain('"service.name","value":{"stringValue":"valet-runner"}');
      const [shown] = spansOf(text);
      expect(attributeOf(shown, "valet.last_seen_ms")).toBe(String(NOW + 5));
      expect(shown).not.toHaveProperty("endTimeUnixNano");
    }));

  test("are limited, so that a runner cannot fill the session's storage", () =>
    inStorage((storage) => {
      const { store } = open(storage);
      for (let seq = 1; seq <= 3; seq++) {
        const spans = Array.from({ length: MAX_OPEN_SPANS }, () => serialiseSpan(openSpan("chat mock-1").serialised));
        store.acceptFrames([{ instanceId: "run_1", seq, otlp: NO_SPANS, open: spans }]);
      }
      expect(rowCount(storage, "trace_open")).toBe(MAX_OPEN_SPANS);
    }));

  test("of another session are not shown, and cannot replace the object's own", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      store.announce("run_1", openSpan("theirs", "ses_other").serialised);
      const own = begin("valet.prompt");
      const { serialised } = openSpan("forged");
      store.announce("run_1", { ...serialised, context: own.context });
      expect(store.seal("run_1", "runner_lost")).toBe(0);
      expect(await names(store)).toEqual(["valet.prompt"]);
    }));

  test("of another instance are not changed", () =>
    inStorage((storage) => {
      const { store } = open(storage);
      store.announce("run_2", openSpan("valet.turn").serialised);
      expect(store.seal("run_1", "runner_lost")).toBe(0);
      expect(store.reader.traces()).toMatchObject([{ openSpans: 1 }]);
    }));
});

test("a request's span that another one links to has not ended with it", () =>
  inStorage(async (storage) => {
    const { store, tracer } = open(storage);
    const [request] = makeSpans({ name: "POST" }) as [ReadableSpan];
    tracer.startSpan("caused", { links: [{ context: request.context }] }).end();
    const otlp = encodeTraces({ "service.name": "valet-worker" }, [request]);
    store.acceptRequestSpans(otlp);
    store.acceptRequestSpans(otlp);
    expect(await names(store)).toEqual(["POST", "caused"]);
  }));

const NO_SPANS = '{"resourceSpans":[]}';

function ids({ context }: Pick<ReadableSpan, "context">): string {
  return `"traceId":"${context.traceId}","spanId":"${context.spanId}"`;
}

describe("segments", () => {
  test("cost a fiftieth of a row per span, or less", () =>
    inStorage((storage) => {
      const { store } = open(storage);
      const [parent] = makeSpans({});
      for (let seq = 1; seq <= 100; seq++) {
        acceptFrame(store, "run_1", seq, makeFrame(...Array(50).fill({ parent: parent?.context })));
      }
      store.fold();
      expect(rowCount(storage, "trace_segments")).toBe(25);
      expect(rowCount(storage, "trace_index")).toBe(25);
      expect(rowCount(storage, "trace_tail")).toBe(0);
      expect(store.reader.traces()).toMatchObject([{ spans: 5000 }]);
    }));

  test("that wait are counted by reading two rows, whatever their number", () =>
    inStorage((storage) => {
      const { store, begin } = open(storage);
      for (let segment = 1; segment <= 300; segment++) {
        begin("a").end();
        begin("b").end();
        store.fold();
      }
      const exec = storage.sql.exec.bind(storage.sql);
      const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
      storage.sql.exec = ((query: string, ...values: SqlStorageValue[]) => {
        const cursor = exec(query, ...values);
        cursors.push(cursor);
        return cursor;
      }) as typeof storage.sql.exec;
      expect([0, 100, 299, 300].map((cursor) => store.segments.sampledSpans(cursor))).toEqual([600, 400, 2, 0]);
      expect(cursors.reduce((total, { rowsRead }) => total + rowsRead, 0)).toBeLessThanOrEqual(4 * 3);
    }));

  test("of an earlier version are counted, too, and so are later and unsampled ones", () =>
    inStorage((storage) => {
      const rows = ["1, 5", "0, 7", "1, 11"].map((row) => `(NULL, 0, ${row}, 1, x'00')`);
      upgradeFromAd59303(storage, `INSERT INTO trace_segments VALUES ${rows.join(", ")}`);
      const { store, begin } = open(storage);
      const counts = () => [0, 1, 2, 3, 4, 5].map((cursor) => store.segments.sampledSpans(cursor));
      expect(counts()).toEqual([16, 11, 11, 0, 0, 0]);
      begin("a").end();
      store.fold();
      const unsampled = new Tracer({ scope: { name: "test" }, processor: store, sampler: recordDropped(alwaysOff) });
      unsampled.startSpan("b").end();
      store.fold();
      begin("c").end();
      store.fold();
      expect(counts()).toEqual([18, 13, 13, 2, 1, 1]);
    }));

  test("close by size before a row becomes too large", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      const attributes = { text: crypto.randomUUID().repeat(10_000) };
      for (let seq = 1; seq <= 4; seq++) acceptFrame(store, "run_1", seq, makeFrame({ attributes }));
      store.fold();
      expect(rowCount(storage, "trace_segments")).toBeGreaterThanOrEqual(2);
      expect(await all(store)).toHaveLength(4);
    }));

  test("close by size when one transaction stores more than a row holds, as after a full disk", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      const text = () => {
        const pieces = Array.from({ length: 4 }, () => crypto.getRandomValues(new Uint8Array(60_000)));
        return Buffer.concat(pieces).toString("base64");
      };
      const frames = Array.from({ length: 12 }, (_, index) => {
        return { instanceId: "run_1", seq: index + 1, otlp: makeFrame({ attributes: { text: text() } }) };
      });
      expect(store.acceptFrames(frames)).toEqual(new Map([["run_1", 12]]));
      const { bytes } = storage.sql
        .exec<{ bytes: number }>("SELECT MAX(LENGTH(body)) AS bytes FROM trace_segments")
        .one();
      // What the platform allows; workerd itself allows more.
      expect(bytes).toBeLessThan(2_000_000);
      expect(await all(store)).toHaveLength(12);
    }));

  test("close by bytes when characters have several", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      const attributes = { text: "語".repeat(70_000) };
      for (let seq = 1; seq <= 6; seq++) acceptFrame(store, "run_1", seq, makeFrame({ attributes }));
      expect(rowCount(storage, "trace_segments")).toBeGreaterThanOrEqual(2);
      expect(await all(store)).toHaveLength(6);
    }));

  test("drop a span that is too large for a row, open or ended, and count it", () =>
    inStorage(async (storage) => {
      const { store, tracer, begin } = open(storage);
      const large = { "valet.session.id": SESSION, text: "語".repeat(800_000) };
      tracer.startSpan("too large to be kept open", { attributes: large }).end();
      const span = begin("grows");
      span.setAttributes(large);
      span.end();
      begin("small").end();
      expect(await dropped(store, "too_large")).toBe(3);
      expect(await names(store)).toEqual(["small", "valet.trace_plane.dropped"]);
    }));

  test("are rolled back with the transaction in which they were closed", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      begin("before").end();
      const fail = () =>
        storage.transactionSync(() => {
          begin("within").end();
          store.fold();
          throw new Error("the state change failed");
        });
      expect(fail).toThrow("the state change failed");
      expect(rowCount(storage, "trace_segments")).toBe(0);
      expect(await names(store)).toEqual(["before"]);
    }));

  test("have ids that never repeat, whatever is deleted", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage, { maxBytes: 0 });
      const ids = new Set<number>();
      for (let i = 0; i < 5; i++) {
        begin("work").end();
        store.fold();
        const { id } = storage.sql.exec<{ id: number }>("SELECT MAX(id) AS id FROM trace_segments").one();
        ids.add(id);
      }
      expect(ids.size).toBe(5);
      expect(rowCount(storage, "trace_segments")).toBe(1);
      expect(rowCount(storage, "trace_index")).toBe(1);
    }));

  test("separate unsampled spans from exported ones", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      acceptFrame(store, "run_1", 1, makeFrame({ name: "recorded", sampled: false }, { name: "sampled" }));
      store.fold();
      const first = store.segments.nextSampled(0);
      expect(first?.spans).toBe(1);
      expect(store.segments.nextSampled(first?.id ?? 0)).toBeUndefined();
      expect(await names(store)).toEqual(["recorded", "sampled"]);
    }));

  test("the tail is due some time after its oldest span, and never when it is empty", () =>
    inStorage((storage) => {
      let now = NOW;
      const { store, begin } = open(storage, { now: () => now });
      expect(store.dueAtMs()).toBeUndefined();
      begin("a").end();
      now += 1000;
      begin("b").end();
      expect(store.dueAtMs()).toBe(NOW + 5000);
      store.fold();
      expect(store.dueAtMs()).toBeUndefined();
    }));

  test("above the size limit the oldest are deleted; those not yet exported are counted, including the reports in them", () =>
    inStorage(async (storage) => {
      const { store } = open(storage, { maxBytes: 1500 });
      let reports = 0;
      for (let seq = 1; seq <= 20; seq++) {
        acceptFrame(store, "run_1", seq, makeFrame({ name: `span ${seq}`, attributes: { text: crypto.randomUUID() } }));
        if (rowCount(storage, "trace_drops") > 0) reports++;
        store.fold(() => false);
      }
      const kept = await all(store);
      const reported = kept.map((each) => Number(attributeOf(each, "valet.dropped_spans.queue_full") ?? 0));
      const unreported = storage.sql.exec<{ spans: number }>("SELECT spans FROM trace_drops").toArray();
      const counted = [...reported, ...unreported.map(({ spans }) => spans)].reduce((sum, spans) => sum + spans, 0);
      expect(counted + kept.length).toBe(20 + reports);
      expect(kept.map(({ name }) => name)).toContain("span 20");
      expect(kept.map(({ name }) => name)).not.toContain("span 1");
    }));
});

describe("reading", () => {
  test("a trace is assembled from segments, tail and open spans", () =>
    inStorage(async (storage) => {
      const { store, tracer, begin } = open(storage);
      const root = begin("root");
      tracer.startSpan("folded", { parent: root }).end();
      store.fold();
      tracer.startSpan("in the tail", { parent: root }).end();
      begin("another trace").end();
      const spans = await read(store, root.context.traceId);
      expect(spans.map(({ name }) => name)).toEqual(["folded", "in the tail", "root"]);
    }));

  test("spans that are folded while a trace is read appear once", () =>
    inStorage(async (storage) => {
      const { store, tracer, begin } = open(storage);
      const root = begin("root");
      for (let i = 0; i < 3; i++) {
        tracer.startSpan("folded", { parent: root }).end();
        store.fold();
      }
      tracer.startSpan("in the tail", { parent: root }).end();
      const stream = store.reader.trace(root.context.traceId) as ReadableStream<Uint8Array>;
      store.fold();
      const spans = spansOf(await new Response(stream).text());
      expect(spans.map(({ name }) => name)).toEqual(["folded", "folded", "folded", "in the tail", "root"]);
    }));

  test("traces are listed page by page, newest first, wherever their spans are stored", () =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const attributes = { "valet.session.id": SESSION };
      // Two traces begin at each instant; some are folded, some in the tail, some open, one in all three.
      for (let i = 0; i < 20; i++) {
        const span = tracer.startSpan(`trace ${i}`, { attributes, startTime: NOW + Math.floor(i / 2) });
        if (i === 3 || i === 18) tracer.startSpan("child", { parent: span, startTime: NOW + 50 }).end();
        if (i % 5 !== 0) span.end();
        if (i === 12) store.fold();
        if (i === 15) tracer.startSpan("child", { parent: span, startTime: NOW + 50 }).end();
      }
      const whole = store.reader.traces();
      expect(whole).toHaveLength(20);
      expect(whole.map(({ startUs }) => startUs)).toEqual(whole.map(({ startUs }) => startUs).sort((a, b) => b - a));
      const paged: typeof whole = [];
      for (;;) {
        const page = store.reader.traces(paged.at(-1), 3);
        paged.push(...page);
        if (page.length < 3) break;
      }
      expect(paged).toEqual(whole);
    }));

  test.each(["in the tail", "folded"])(
    "a trace has the name and start of its root while that is open, whatever has ended below it (%s)",
    (place) =>
      inStorage((storage) => {
        const { store, tracer } = open(storage);
        const attributes = { "valet.session.id": SESSION };
        const root = tracer.startSpan("valet.sandbox.spawn", { attributes, startTime: NOW });
        const parent = { ...root.context, isRemote: true };
        // The broker's clock is slow.
        tracer.startSpan("POST /v1/sandboxes", { parent, attributes, startTime: NOW - 500 }).end();
        if (place === "folded") store.fold();
        tracer.startSpan("valet.broker.call", { parent: root, attributes, startTime: NOW + 5 });
        expect(store.reader.traces()).toMatchObject([{ name: "valet.sandbox.spawn", openSpans: 2, spans: 1 }]);
        const { startUs } = store.reader.traces()[0] ?? {};
        root.end();
        expect(store.reader.traces()).toMatchObject([{ name: "valet.sandbox.spawn", startUs, openSpans: 1, spans: 2 }]);
      }),
  );

  test.each([
    ["behind", -47 * 60_000, "folded before"],
    ["behind", -47 * 60_000, "folded after"],
    ["ahead", 47 * 60_000, "folded before"],
    ["ahead", 47 * 60_000, "in the tail"],
  ])("a trace lasts by the Worker's clock, whatever a runner's clock says (%s by %i ms, %s)", (_, offMs, place) =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const attributes = { "valet.session.id": SESSION };
      const before = tracer.startSpan("POST before", { attributes, startTime: NOW - 1000 });
      before.end(NOW - 990);
      // A client has begun the trace, so that no span of it is a root.
      const client = { ...makeSpans({})[0]?.context, isRemote: true } as ReadableSpan["context"];
      const prompt = tracer.startSpan("valet.prompt", { attributes, parent: client, startTime: NOW });
      const parent = { ...prompt.context, isRemote: true };
      const turn = { name: "valet.turn", parent, start: NOW + 10 + offMs, end: NOW + 2000 + offMs };
      acceptFrame(store, "run_1", 1, makeFrame(turn, { ...turn, name: "chat mock-1" }));
      if (place === "folded before") store.fold();
      const { traceId } = prompt.context;
      const begun = { traceId, name: "valet.prompt", startUs: NOW * 1000 };
      expect(store.reader.traces()).toMatchObject([{ ...begun, openSpans: 1, spans: 2 }, { name: "POST before" }]);
      prompt.end(NOW + 2010);
      if (place === "folded after") store.fold();
      const ended = { ...begun, endUs: (NOW + 2010) * 1000, openSpans: 0, spans: 3 };
      expect(store.reader.traces()).toMatchObject([ended, { name: "POST before" }]);
      expect(store.reader.traces(undefined, 1)).toMatchObject([ended]);
      expect(store.reader.traces(store.reader.traces(undefined, 1)[0], 9)).toMatchObject([{ name: "POST before" }]);
      expect(store.reader.startingWith(traceId, 2)).toMatchObject([begun]);
    }),
  );

  test.each([-47 * 60_000, 47 * 60_000, -253_402_300_799_999, 253_402_300_799_999])(
    "a trace of a runner alone is listed by what is known of its clock, open or ended (%i ms)",
    (runnerAheadMs) =>
      inStorage((storage) => {
        const { store } = open(storage, { runnerAheadMs });
        const at = { start: NOW + runnerAheadMs, end: NOW + 55 + runnerAheadMs };
        if (Math.abs(runnerAheadMs) > NOW) at.end = at.start = NOW;
        const otlp = makeFrame({ name: "valet.turn.changes", ...at });
        const { serialised } = openSpan("valet.turn.changes");
        const startTime = { seconds: Math.floor(at.start / 1000), nanos: 0 };
        store.announce("run_1", { ...serialised, startTime });
        const isTime = ({ startUs }: { startUs: number }) =>
          Number.isFinite(Date.parse(new Date(startUs / 1000).toISOString()));
        expect(store.reader.traces().every(isTime)).toBe(true);
        if (at.end > at.start) expect(store.reader.traces()).toMatchObject([{ startUs: NOW * 1000, openSpans: 1 }]);
        storage.sql.exec("DELETE FROM trace_open");
        acceptFrame(store, "run_1", 1, otlp);
        for (const place of ["in the tail", "folded"]) {
          expect(store.reader.traces().every(isTime), place).toBe(true);
          if (at.end > at.start) {
            expect(store.reader.traces()).toMatchObject([{ startUs: NOW * 1000, endUs: (NOW + 55) * 1000 }]);
          }
          store.fold();
        }
      }),
  );

  test("a trace without a known root is named by its topmost known span, open or not", () =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const attributes = { "valet.session.id": SESSION };
      const root = tracer.startSpan("kept elsewhere", { startTime: NOW }).context;
      storage.sql.exec("DELETE FROM trace_open");
      const turn = tracer.startSpan("valet.turn", { parent: root, attributes, startTime: NOW + 1 });
      tracer.startSpan("chat mock-1", { parent: turn, attributes, startTime: NOW + 2 }).end();
      expect(store.reader.traces()).toMatchObject([{ name: "valet.turn", openSpans: 1 }]);
      turn.end();
      store.fold();
      tracer.startSpan("execute_tool bash", { parent: turn, attributes, startTime: NOW + 3 });
      expect(store.reader.traces()).toMatchObject([{ name: "valet.turn", openSpans: 1, spans: 2 }]);
    }));

  test("spans that end during streaming are included, each once", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      begin("folded").end();
      store.fold();
      begin("in the tail").end();
      const reader = store.reader.spans().getReader();
      const decoder = new TextDecoder();
      let text = decoder.decode((await reader.read()).value);
      store.fold();
      begin("later").end();
      for (let next = await reader.read(); !next.done; next = await reader.read()) text += decoder.decode(next.value);
      const lines = text.trimEnd().split("\n");
      expect(lines.flatMap(spansOf).map(({ name }) => name)).toEqual(["folded", "in the tail", "later"]);
    }));

  test("a trace that is too large for one answer is paged, each span once, and so is the whole log", () =>
    inStorage(async (storage) => {
      const { store, begin } = open(storage);
      const root = begin("root");
      const names: string[] = [];
      const add = (count: number) => {
        for (let i = 0; i < count; i++) {
          const name = `span ${names.length}`;
          names.push(name);
          const attributes = { text: "x".repeat(450_000) };
          acceptFrame(store, "run_1", names.length, makeFrame({ name, parent: root.context, attributes }));
        }
      };
      add(60);
      type Page = { nextCursor?: string };
      const pagesOf = async (
        list: Omit<SegmentList, "sessionId">,
        read: (after: number) => Promise<string>,
        meanwhile: () => void,
      ) => {
        const pages: string[] = [];
        let after: number | undefined = 0;
        while (after !== undefined) {
          pages.push(await read(after));
          const cursor = (JSON.parse(pages.at(-1)?.trim().split("\n").at(-1) ?? "{}") as Page).nextCursor;
          after = cursor === undefined ? undefined : segmentAfter({ sessionId: SESSION, ...list }, cursor);
          if (pages.length === 1) meanwhile();
        }
        return pages;
      };
      const textOf = (stream: ReadableStream<Uint8Array> | undefined) => new Response(stream).text();
      const ofTrace = await pagesOf(
        { what: "trace", traceId: root.context.traceId },
        (after) => textOf(store.reader.trace(root.context.traceId, () => undefined, after)),
        () => {
          // Spans that end meanwhile, and the fold of the tail, cause neither duplicates nor gaps.
          add(1);
          store.fold();
        },
      );
      expect(ofTrace.length).toBeGreaterThan(1);
      for (const page of ofTrace) expect(page.length).toBeLessThan(20 * 1024 * 1024);
      const found = ofTrace.flatMap((page) => spansOf(page)).map(({ name }) => name);
      expect(found.sort()).toEqual([...names, "root"].sort());
      const lines = await pagesOf(
        { what: "spans" },
        (after) => textOf(store.reader.spans(after)),
        () => {},
      );
      expect(lines.length).toBeGreaterThan(1);
      const logged = lines.flatMap((page) =>
        page
          .trim()
          .split("\n")
          .flatMap((line) => spansOf(line)),
      );
      expect(logged.map(({ name }) => name).sort()).toEqual(names.toSorted());
    }));

  test("an unknown trace is undefined", () =>
    inStorage((storage) => {
      expect(open(storage).store.reader.trace("a".repeat(32))).toBeUndefined();
    }));

  test("every ended span is in the stream of OTLP/JSON lines", () =>
    inStorage(async (storage) => {
      const { store } = open(storage);
      for (let seq = 1; seq <= 10; seq++) acceptFrame(store, "run_1", seq, makeFrame(...Array(50).fill({})));
      const lines = (await new Response(store.reader.spans()).text()).trimEnd().split("\n");
      expect(lines.length).toBeGreaterThan(1);
      expect(lines.flatMap((line) => spansOf(line))).toHaveLength(500);
    }));
});
