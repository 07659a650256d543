import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { type Answer, type Backend, scriptBackend } from "../../test/backend-client.ts";
import { endedSpan } from "../../test/spans.ts";
import type { SendResult } from "./answer.ts";
import { type BatchOptions, BatchSpanProcessor } from "./batch.ts";
import type { Diagnostic } from "./diagnostics.ts";
import { type EncodedBatch, OtlpExporter } from "./exporter.ts";
import { alwaysOff, alwaysOn, recordDropped } from "./sampler.ts";

const RESOURCE = { "service.name": "test" };
/** Retried at once. */
const BUSY: Answer = { status: 503, headers: { "retry-after": "0" } };
const OK: Answer = { status: 200 };

interface WireSpan {
  name: string;
  attributes?: { key: string; value: { intValue?: string } }[];
}

function wireSpans(text: string): WireSpan[] {
  return JSON.parse(text).resourceSpans.flatMap((each: { scopeSpans: { spans: WireSpan[] }[] }) =>
    each.scopeSpans.flatMap(({ spans }) => spans),
  );
}

async function receivedNames(backend: Backend): Promise<string[][]> {
  return (await backend.received()).map(({ text }) => wireSpans(text).map(({ name }) => name));
}

/** What the backend was told of drops, summed by reason. */
function reportedDrops(texts: string[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const span of texts.flatMap(wireSpans).filter(({ name }) => name === "valet.trace_plane.dropped")) {
    for (const { key, value } of span.attributes ?? []) {
      const reason = key.replace("valet.dropped_spans.", "");
      sum[reason] = (sum[reason] ?? 0) + Number(value.intValue);
    }
  }
  return sum;
}

async function start(answers: Answer[], options: Partial<BatchOptions> & { timeoutMs?: number } = {}) {
  const backend = await scriptBackend(...answers);
  const diagnostics: Diagnostic[] = [];
  const processor = new BatchSpanProcessor({
    exporter: new OtlpExporter({ url: backend.url, timeoutMs: options.timeoutMs }),
    resource: RESOURCE,
    scheduleDelayMs: Number.POSITIVE_INFINITY,
    onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    ...options,
  });
  const end = (count: number, name = "work") => {
    for (let i = 0; i < count; i++) processor.onEnd(endedSpan({ name }));
  };
  return { backend, processor, diagnostics, end };
}

describe("what is sent", () => {
  test("ended spans in one request", async () => {
    const { backend, processor, end } = await start([OK]);
    end(1, "a");
    end(1, "b");
    expect(await processor.forceFlush()).toBe(true);
    expect(await receivedNames(backend)).toEqual([["a", "b"]]);
  });

  test("sampled spans only", async () => {
    const { backend, processor } = await start([OK]);
    processor.onEnd(endedSpan({ name: "recorded only", sampler: recordDropped(alwaysOff) }));
    processor.onEnd(endedSpan({ name: "sampled", sampler: alwaysOn }));
    await processor.forceFlush();
    expect(await receivedNames(backend)).toEqual([["sampled"]]);
  });

  test("nothing if no span ended", async () => {
    const { backend, processor } = await start([OK]);
    expect(await processor.forceFlush()).toBe(true);
    expect(await backend.received()).toEqual([]);
  });

  test("R19 in batches no larger than the limit", async () => {
    const { backend, processor, end } = await start([OK], { maxQueuedSpans: 1000, maxExportBatchSize: 4 });
    end(10);
    await processor.forceFlush();
    expect((await receivedNames(backend)).map((names) => names.length)).toEqual([4, 4, 2]);
  });
});

describe("when it is sent", () => {
  test("at the fiftieth span, and scheduleFlush receives the promise", async () => {
    const scheduleFlush = vi.fn();
    const { backend, end } = await start([OK], { scheduleFlush });
    end(49);
    expect(scheduleFlush).not.toHaveBeenCalled();
    end(1);
    expect(scheduleFlush).toHaveBeenCalledTimes(1);
    await scheduleFlush.mock.calls[0]?.[0];
    expect((await receivedNames(backend)).map((names) => names.length)).toEqual([50]);
  });

  test("not within the call that ends the span", async () => {
    let encoded = 0;
    class CountingExporter extends OtlpExporter {
      override encode(...batch: Parameters<OtlpExporter["encode"]>): Promise<EncodedBatch | undefined> {
        encoded++;
        return super.encode(...batch);
      }
    }
    const exporter = new CountingExporter({ url: "http://127.0.0.1:1/", fetch: async () => new Response() });
    const processor = new BatchSpanProcessor({ exporter, resource: RESOURCE, maxQueuedSpans: 1 });
    processor.onEnd(endedSpan());
    expect(encoded).toBe(0);
    await processor.forceFlush();
    expect(encoded).toBe(1);
  });

  test("after the delay, if there are fewer", async () => {
    const { backend, end } = await start([OK], { scheduleDelayMs: 1 });
    end(1);
    await vi.waitFor(async () => expect(await backend.received()).toHaveLength(1), 20_000);
  });

  test("a scheduleFlush that throws is reported and the spans are sent", async () => {
    const scheduleFlush = () => {
      throw new Error("outside of a request");
    };
    const { backend, processor, diagnostics, end } = await start([OK], { scheduleFlush });
    end(50);
    await processor.forceFlush();
    expect(diagnostics).toMatchObject([{ type: "callback_error" }]);
    expect(await backend.received()).toHaveLength(1);
  });
});

describe("R22 one request at a time", () => {
  test("however many flushes are asked for", async () => {
    let running = 0;
    let most = 0;
    const exporter = new OtlpExporter({
      url: "http://127.0.0.1:1/",
      fetch: async () => {
        most = Math.max(most, ++running);
        await Promise.resolve();
        running--;
        return new Response();
      },
    });
    const processor = new BatchSpanProcessor({
      exporter,
      resource: RESOURCE,
      maxExportBatchSize: 2,
      maxQueuedSpans: 3,
    });
    const flushes: Promise<boolean>[] = [];
    for (let i = 0; i < 40; i++) {
      processor.onEnd(endedSpan());
      flushes.push(processor.forceFlush());
    }
    expect(await Promise.all(flushes)).toEqual(Array(40).fill(true));
    expect(most).toBe(1);
  });
});

describe("R7 R11 a failed export", () => {
  test("keeps its batch and sends the same bytes again", async () => {
    const { backend, processor, end } = await start([BUSY, BUSY, OK]);
    end(3);
    expect(await processor.forceFlush()).toBe(true);
    const bodies = (await backend.received()).map(({ text }) => text);
    expect(bodies).toHaveLength(3);
    expect(new Set(bodies).size).toBe(1);
  });

  test("encodes once, however often it sends", async () => {
    class CountingExporter extends OtlpExporter {
      readonly sent: EncodedBatch[] = [];
      override send(batch: EncodedBatch): Promise<SendResult> {
        this.sent.push(batch);
        return super.send(batch);
      }
    }
    const backend = await scriptBackend(BUSY, OK);
    const exporter = new CountingExporter({ url: backend.url });
    const processor = new BatchSpanProcessor({ exporter, resource: RESOURCE });
    processor.onEnd(endedSpan());
    await processor.forceFlush();
    expect(exporter.sent).toHaveLength(2);
    expect(exporter.sent[0]).toBe(exporter.sent[1]);
  });

  test("is kept for the next flush when its retry lies beyond this one", async () => {
    const { backend, processor, diagnostics, end } = await start([
      { status: 429, headers: { "retry-after": "2" } },
      OK,
    ]);
    end(1);
    expect(await processor.forceFlush(1000)).toBe(false);
    expect(diagnostics).toMatchObject([{ type: "export_failed", status: 429, spans: 1 }]);
    expect(await processor.forceFlush()).toBe(true);
    expect(await backend.received()).toHaveLength(2);
    expect(diagnostics).toHaveLength(1);
  });

  test("is dropped after its attempts and counted, and the backend receives the count", async () => {
    const { backend, processor, diagnostics, end } = await start([BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, OK]);
    end(2);
    await processor.forceFlush();
    expect(diagnostics.at(-1)).toEqual({ type: "spans_dropped", reason: "retries_exhausted", spans: 2 });
    end(1, "later");
    await processor.forceFlush();
    const texts = (await backend.received()).map(({ text }) => text);
    expect(texts).toHaveLength(7);
    expect(reportedDrops(texts)).toEqual({ retries_exhausted: 2 });
  });

  test.each<[string, Answer]>([
    ["a page to log in on", { status: 200, headers: { "content-type": "text/html" }, body: "<html>" }],
    ["a wrong token", { status: 401 }],
    ["a redirect", { status: 302, headers: { location: "/login" } }],
  ])("is kept where %s answers, and sent again", async (_what, answer) => {
    const { backend, processor, diagnostics, end } = await start([answer, OK]);
    end(1);
    expect(await processor.forceFlush(10_000)).toBe(true);
    const texts = (await backend.received()).map(({ text }) => text);
    expect(texts).toEqual([texts[0], texts[0]]);
    expect(diagnostics).toMatchObject([{ type: "export_failed", spans: 1, retryInMs: expect.any(Number) }]);
  });

  test("is halved if it is too large for the backend, until it fits or is one span that does not", async () => {
    const large: Answer = { status: 413 };
    const { backend, processor, diagnostics, end } = await start([large, large, OK, large, large, OK]);
    for (const name of ["a", "b", "c", "d"]) end(1, name);
    expect(await processor.forceFlush()).toBe(true);
    const names = await receivedNames(backend);
    expect(names.slice(0, 5)).toEqual([["a", "b", "c", "d"], ["a", "b"], ["a"], ["b", "c"], ["b"]]);
    const others = names.slice(5).flat();
    expect(others.filter((name) => name.length === 1)).toEqual(["c", "d"]);
    expect(diagnostics).toContainEqual({ type: "spans_dropped", reason: "too_large", spans: 1 });
    expect(reportedDrops((await backend.received()).map(({ text }) => text))).toEqual({ too_large: 1 });
  });

  test("with an unexpected 2xx response counts as delivered, with one warning for all", async () => {
    const { backend, processor, diagnostics, end } = await start([{ status: 200, body: "OK" }]);
    for (const name of ["a", "b"]) {
      end(1, name);
      expect(await processor.forceFlush()).toBe(true);
    }
    expect(await receivedNames(backend)).toEqual([["a"], ["b"]]);
    expect(diagnostics).toEqual([{ type: "unexpected_answer", message: "neither JSON nor protobuf" }]);
  });

  test("is dropped at once if it is refused", async () => {
    const { processor, diagnostics, end } = await start([{ status: 400 }]);
    end(2);
    expect(await processor.forceFlush()).toBe(true);
    expect(diagnostics).toEqual([
      { type: "export_failed", reason: "HTTP 400", status: 400, spans: 2 },
      { type: "spans_dropped", reason: "not_retryable", spans: 2 },
    ]);
  });

  test("does not stop later batches", async () => {
    const { backend, processor, end } = await start([{ status: 400 }, OK], {
      maxExportBatchSize: 1,
      maxQueuedSpans: 99,
    });
    end(1, "refused");
    end(1, "taken");
    await processor.forceFlush();
    expect(await receivedNames(backend)).toEqual([["refused"], ["valet.trace_plane.dropped", "taken"]]);
  });
});

describe("R9 partial success", () => {
  test("is not retried; rejected spans are counted and reported", async () => {
    const body = JSON.stringify({ partialSuccess: { rejectedSpans: "2", errorMessage: "too old" } });
    const { backend, processor, diagnostics, end } = await start([{ status: 200, body }, OK]);
    end(3);
    await processor.forceFlush();
    expect(diagnostics).toEqual([
      { type: "partial_success", rejectedSpans: 2, message: "too old" },
      { type: "spans_dropped", reason: "rejected", spans: 2 },
    ]);
    expect(reportedDrops((await backend.received()).map(({ text }) => text))).toEqual({ rejected: 2 });
  });
});

describe("bounds", () => {
  test("a full queue drops and counts further spans", async () => {
    const { backend, processor, diagnostics, end } = await start([OK], { maxQueueSize: 5, maxQueuedSpans: 99 });
    end(8);
    await processor.forceFlush();
    expect(diagnostics).toEqual([{ type: "spans_dropped", reason: "queue_full", spans: 3 }]);
    const texts = (await backend.received()).map(({ text }) => text);
    expect(reportedDrops(texts)).toEqual({ queue_full: 3 });
    expect(texts.flatMap(wireSpans)).toHaveLength(6);
  });

  test("spans that are being sent count against the queue", async () => {
    const { backend, processor, diagnostics, end } = await start([{ behaviour: "hang" }], {
      maxQueueSize: 5,
      maxQueuedSpans: 5,
      timeoutMs: 0,
    });
    end(5);
    await vi.waitFor(async () => expect(await backend.received()).toHaveLength(1), 20_000);
    end(4);
    await processor.shutdown(1);
    await backend.letGo();
    expect(diagnostics.filter(({ type }) => type === "spans_dropped")).toEqual([
      { type: "spans_dropped", reason: "queue_full", spans: 4 },
      { type: "spans_dropped", reason: "shutdown", spans: 5 },
    ]);
  });

  test("R10 a batch too large for one request is split; the span that is itself too large is dropped", async () => {
    const backend = await scriptBackend(OK);
    const large = endedSpan({ name: "large", attributes: { text: "x".repeat(65 * 1024 * 1024) } });
    const diagnostics: Diagnostic[] = [];
    const processor = new BatchSpanProcessor({
      exporter: new OtlpExporter({ url: backend.url }),
      resource: RESOURCE,
      onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    });
    for (const span of [endedSpan({ name: "a" }), large, endedSpan({ name: "b" })]) processor.onEnd(span);
    expect(await processor.forceFlush()).toBe(true);
    const names = (await receivedNames(backend)).flat();
    expect(names.filter((name) => name !== "valet.trace_plane.dropped")).toEqual(["a", "b"]);
    expect(diagnostics).toEqual([{ type: "spans_dropped", reason: "too_large", spans: 1 }]);
  });
});

describe("R22 shutdown", () => {
  test("sends the remaining spans, and ends within its timeout if the backend hangs", async () => {
    const { backend, processor, diagnostics, end } = await start([{ behaviour: "hang" }]);
    end(3);
    await processor.shutdown(30);
    await backend.letGo();
    expect(diagnostics).toEqual([{ type: "spans_dropped", reason: "shutdown", spans: 3 }]);
  });

  test("delivers what it can, and drops later spans", async () => {
    const { backend, processor, diagnostics, end } = await start([OK]);
    end(2);
    await Promise.all([processor.shutdown(), processor.shutdown()]);
    end(1);
    expect((await receivedNames(backend)).flat()).toHaveLength(2);
    expect(diagnostics).toEqual([{ type: "spans_dropped", reason: "shutdown", spans: 1 }]);
  });
});

test("a diagnostics callback that throws harms nothing", async () => {
  const onDiagnostic = () => {
    throw new Error("broken logger");
  };
  const { backend, processor, end } = await start([{ status: 400 }, OK], { onDiagnostic, maxQueueSize: 1 });
  end(3);
  await processor.forceFlush();
  end(1);
  expect(await processor.forceFlush()).toBe(true);
  expect(await backend.received()).toHaveLength(2);
});

test("every span is delivered, dropped and counted, or still queued", async () => {
  type Step = { spans: number; answer: "ok" | "busy" | "refused" | "partial" | "network" };
  const step = fc.record<Step>({
    spans: fc.integer({ min: 0, max: 9 }),
    answer: fc.constantFrom("ok", "busy", "refused", "partial", "network"),
  });
  const answers = {
    ok: () => new Response(),
    busy: () => new Response(null, { status: 503, headers: { "retry-after": "0" } }),
    refused: () => new Response(null, { status: 400 }),
    partial: () => new Response('{"partialSuccess":{"rejectedSpans":1}}'),
    network: () => {
      throw new TypeError("fetch failed");
    },
  };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      let answer: Step["answer"] = "ok";
      const delivered: string[] = [];
      let rejected = 0;
      const fetch = async (_url: unknown, init?: RequestInit) => {
        const response = answers[answer]();
        if (response.ok) {
          const text = new TextDecoder().decode(init?.body as Uint8Array);
          const spans = wireSpans(text).filter(({ name }) => name === "work").length;
          delivered.push(text);
          if (answer === "partial") rejected += Math.min(1, spans);
        }
        return response;
      };
      const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/", compression: "none", fetch: fetch as never });
      const processor = new BatchSpanProcessor({
        exporter,
        resource: RESOURCE,
        maxQueueSize: 12,
        maxExportBatchSize: 5,
        scheduleDelayMs: Number.POSITIVE_INFINITY,
      });
      let made = 0;
      for (const { spans, answer: next } of steps) {
        answer = next;
        for (let i = 0; i < spans; i++) processor.onEnd(endedSpan());
        made += spans;
        await processor.forceFlush(0);
        await processor.forceFlush(0);
      }
      answer = "ok";
      // A network failure waits for its backoff, which this property does not: what is held then is what is missing.
      const empty = await processor.forceFlush(5);
      const received = delivered.flatMap(wireSpans).filter(({ name }) => name === "work").length - rejected;
      const dropped = Object.values(reportedDrops(delivered)).reduce((sum, count) => sum + count, 0);
      if (empty) expect(received + dropped).toBe(made);
      else expect(received + dropped).toBeLessThanOrEqual(made);
    }),
    { numRuns: 100 },
  );
});
