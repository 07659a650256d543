import { gunzipSync } from "node:zlib";
import { type Diagnostic, Tracer } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { attributeOf, SESSION, spansOf } from "../../../test/otlp.ts";
import { TraceExport } from "./trace-export.ts";
import { TraceStore } from "./trace-store.ts";

type Answer = () => Response | Promise<Response>;

const ok: Answer = () => new Response();
const busy: Answer = () => new Response(null, { status: 503, headers: { "retry-after": "7" } });
const refused: Answer = () => new Response(null, { status: 400 });

/** A store and an export to a backend that answers as told; its bytes are kept. */
function setUp(
  storage: DurableObjectStorage,
  answers: Answer[],
  options: { url?: string; compression?: "gzip" | "none" } = {},
) {
  let now = 1_700_000_000_000;
  const diagnostics: Diagnostic[] = [];
  const sent: { encoding: string | null; bytes: Uint8Array }[] = [];
  const store = new TraceStore(storage, {
    sessionId: SESSION,
    resource: { "service.name": "valet-worker" },
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => now,
  });
  const fetch = async (_url: unknown, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    sent.push({ encoding: headers.get("content-encoding"), bytes: new Uint8Array(init?.body as Uint8Array) });
    return (answers.length > 1 ? (answers.shift() as Answer) : (answers[0] as Answer))();
  };
  const exporting = new TraceExport(storage.sql, store, {
    url: "url" in options ? options.url : "http://127.0.0.1:1/v1/traces",
    headers: {},
    compression: options.compression ?? "gzip",
    timeoutMs: 1000,
    now: () => now,
    onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    fetch: fetch as never,
  });
  const tracer = new Tracer({ scope: { name: "test" }, sink: store });
  /** Each in a segment of its own. */
  const end = (...names: string[]) => {
    for (const name of names) {
      tracer.startSpan(name, { attributes: { "valet.session.id": SESSION } }).end();
      store.fold((id) => exporting.isSettled(id));
    }
  };
  return { store, exporting, sent, diagnostics, end, pass: (ms: number) => (now += ms), now: () => now };
}

function sentNames(sent: { bytes: Uint8Array }[]): string[][] {
  return sent.map(({ bytes }) => spansOf(gunzipSync(bytes).toString()).map(({ name }) => name));
}

describe("the cursor", () => {
  test("goes over the segments in order, one POST each, the bytes as they are stored", () =>
    inStorage(async (storage) => {
      const { store, exporting, sent, end } = setUp(storage, [ok]);
      end("a", "b", "c");
      const stored = store.segments.nextSampled(0)?.body;
      await exporting.start();
      expect(sentNames(sent)).toEqual([["a"], ["b"], ["c"]]);
      expect(sent[0]).toEqual({ encoding: "gzip", bytes: stored });
      expect(exporting.dueAtMs()).toBeUndefined();
    }));

  test("stays where a POST failed, and the same bytes go again when their time has come", () =>
    inStorage(async (storage) => {
      const { exporting, sent, end, pass, now } = setUp(storage, [busy, ok]);
      end("a", "b");
      await exporting.start();
      expect(exporting.dueAtMs()).toBe(now() + 7000);
      await exporting.start();
      expect(sent).toHaveLength(1);
      pass(7000);
      await exporting.start();
      expect(sentNames(sent)).toEqual([["a"], ["a"], ["b"]]);
      expect(sent[1]?.bytes).toEqual(sent[0]?.bytes);
    }));

  test("wants the alarm while a POST is under way: nothing else would wake an object that dies of it", () =>
    inStorage(async (storage) => {
      let answer = (_response: Response) => {};
      const held: Answer = () => new Promise((resolve) => (answer = resolve));
      const { exporting, end, pass, now } = setUp(storage, [held]);
      end("a");
      expect(exporting.dueAtMs()).toBeGreaterThanOrEqual(now());
      pass(1000);
      const run = exporting.start();
      expect(exporting.dueAtMs()).toBeGreaterThan(now());
      answer(new Response());
      await run;
      expect(exporting.dueAtMs()).toBeUndefined();
    }));

  test("survives the object", async () => {
    const name = crypto.randomUUID();
    await inStorage(async (storage) => {
      const { exporting, end } = setUp(storage, [ok]);
      end("a");
      await exporting.start();
      end("b");
    }, name);
    await inStorage(async (storage) => {
      const { exporting, sent } = setUp(storage, [ok]);
      await exporting.start();
      expect(sentNames(sent)).toEqual([["b"]]);
    }, name);
  });

  test("is moved by one run at a time", () =>
    inStorage(async (storage) => {
      const { exporting, sent, end } = setUp(storage, [ok]);
      end("a", "b");
      await Promise.all([exporting.start(), exporting.start(), exporting.start()]);
      expect(sentNames(sent)).toEqual([["a"], ["b"]]);
    }));
});

describe("what is lost is counted, and the backend is told", () => {
  test("a refused segment is passed over", () =>
    inStorage(async (storage) => {
      const { exporting, sent, diagnostics, end } = setUp(storage, [refused, ok]);
      end("refused");
      await exporting.start();
      end("later");
      await exporting.start();
      const [report] = spansOf(gunzipSync(sent[1]?.bytes as Uint8Array).toString()).filter(
        ({ name }) => name !== "later",
      );
      expect(attributeOf(report, "valet.dropped_spans.not_retryable")).toBe("1");
      expect(diagnostics).toMatchObject([{ type: "export_failed", status: 400, spans: 1 }]);
    }));

  test("what a refused report would have told is told by the next", () =>
    inStorage(async (storage) => {
      const { exporting, sent, end } = setUp(storage, [refused, refused, refused, ok]);
      for (const name of ["a", "b", "c", "d"]) {
        end(name);
        await exporting.start();
      }
      // a, b and c, and the two reports that went with b and c.
      const reports = spansOf(gunzipSync(sent[3]?.bytes as Uint8Array).toString()).filter(({ name }) => name !== "d");
      expect(reports.map((each) => attributeOf(each, "valet.dropped_spans.not_retryable"))).toEqual(["5"]);
    }));

  test("what the backend rejected of a segment, too", () =>
    inStorage(async (storage) => {
      const partial: Answer = () => new Response('{"partialSuccess":{"rejectedSpans":"1","errorMessage":"old"}}');
      const { exporting, sent, diagnostics, end } = setUp(storage, [partial, ok]);
      end("rejected");
      await exporting.start();
      end("later");
      await exporting.start();
      const [report] = spansOf(gunzipSync(sent[1]?.bytes as Uint8Array).toString()).filter(
        ({ name }) => name !== "later",
      );
      expect(attributeOf(report, "valet.dropped_spans.rejected")).toBe("1");
      expect(diagnostics).toEqual([{ type: "partial_success", rejectedSpans: 1, message: "old" }]);
    }));
});

test("compression none sends plain JSON", () =>
  inStorage(async (storage) => {
    const { exporting, sent, end } = setUp(storage, [ok], { compression: "none" });
    end("a");
    await exporting.start();
    expect(sent[0]?.encoding).toBeNull();
    expect(spansOf(new TextDecoder().decode(sent[0]?.bytes))).toHaveLength(1);
  }));

test("without an endpoint nothing is due, sent or counted as lost", () =>
  inStorage(async (storage) => {
    const { exporting, sent, end } = setUp(storage, [ok], { url: undefined as never });
    end("a");
    expect(exporting.dueAtMs()).toBeUndefined();
    await exporting.start();
    expect(sent).toEqual([]);
    expect(exporting.isSettled(1)).toBe(true);
  }));
