// Spans that are not sampled are stored and not exported. What the export reads does not depend on how many there are.
import { alwaysOff, recordDropped, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { SESSION } from "../../../test/otlp.ts";
import { rowsReadBy, totalOf } from "../../../test/rows-read.ts";
import { TraceExport } from "./trace-export.ts";
import { TraceStore } from "./trace-store.ts";

const NOW = 1_700_000_000_000;
const DAY_MS = 24 * 3_600_000;

function setUp(storage: DurableObjectStorage) {
  let now = NOW;
  let status = 200;
  const sent: number[] = [];
  const store = new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: {},
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => now,
  });
  const fetch = async () => {
    sent.push(status);
    return new Response(null, { status });
  };
  const exporting = new TraceExport(storage.sql, store, {
    sessionId: SESSION,
    url: "http://127.0.0.1:1/v1/traces",
    headers: {},
    compression: "gzip",
    timeoutMs: 1000,
    now: () => now,
    onDiagnostic: () => {},
    fetch: fetch as never,
  });
  const processor = { scope: { name: "test" }, processor: store };
  const tracers = {
    sampled: new Tracer(processor),
    unsampled: new Tracer({ ...processor, sampler: recordDropped(alwaysOff) }),
  };
  /** Ends spans, each in a segment of its own. */
  const end = (what: keyof typeof tracers, spans = 1) => {
    for (let i = 0; i < spans; i++) {
      tracers[what].startSpan(what, { attributes: { "valet.session.id": SESSION } }).end();
      store.fold((id) => exporting.isSettled(id));
    }
  };
  const look = () => [exporting.dueAtMs(), exporting.problem(), exporting.problemDueAtMs()];
  return {
    exporting,
    sent,
    end,
    look,
    /** Counts the rows that are read to find out what is due. */
    rows: async () => totalOf(await rowsReadBy(storage.sql, look)),
    pass: (ms: number) => (now += ms),
    answer: (next: number) => (status = next),
  };
}

test("many unsampled segments, before, between and after sampled ones, are passed once", () =>
  inStorage(async (storage) => {
    const { exporting, sent, end, look, rows } = setUp(storage);
    end("unsampled", 200);
    expect(look()[0]).toBeUndefined();
    expect(await rows()).toBeLessThanOrEqual(10);
    end("sampled");
    end("unsampled", 200);
    end("sampled");
    end("unsampled", 200);
    expect(look()[0]).toBeDefined();
    expect(await rows()).toBeLessThanOrEqual(10);
    await exporting.start();
    expect(sent).toHaveLength(2);
    expect(look()).toEqual([undefined, undefined, undefined]);
    expect(await rows()).toBeLessThanOrEqual(10);
    end("sampled");
    await exporting.start();
    expect(sent).toHaveLength(3);
  }));

test("an export that has stopped stays stopped for unsampled spans, and continues with a sampled one", () =>
  inStorage(async (storage) => {
    const { exporting, sent, end, look, rows, pass, answer } = setUp(storage);
    answer(503);
    end("sampled");
    await exporting.start();
    pass(DAY_MS + 1);
    await exporting.start();
    expect(exporting.shortfall()).toMatchObject({ isStopped: true, waitingSpans: 1 });
    end("unsampled", 200);
    expect(look()[0]).toBeUndefined();
    expect(await rows()).toBeLessThanOrEqual(20);
    answer(200);
    end("sampled");
    expect(exporting.shortfall()).toMatchObject({ isStopped: false, waitingSpans: 2 });
    await exporting.start();
    expect(sent.filter((status) => status === 200)).toHaveLength(2);
    expect(exporting.shortfall()).toBeUndefined();
  }));
