import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import {
  alwaysOff,
  type DropReason,
  parseOpenSpan,
  type ReadableSpan,
  recordDropped,
  serialiseSpan,
  Tracer,
} from "@valet/shared/tracing";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { readSpans } from "../../test/link-server.ts";
import { NO_SUMMARY } from "../agent/summary.ts";
import { OpenSpans } from "./open-spans.ts";
import { type SpanFrame, SpanOutbox, type SpanOutboxOptions } from "./span-outbox.ts";

function setUp(options: Partial<SpanOutboxOptions> = {}) {
  const folder = options.folder ?? temporaryFolder();
  const instanceId = options.instanceId ?? "a";
  const dropped: [DropReason, number][] = [];
  const outbox = new SpanOutbox({
    folder,
    instanceId,
    resource: { "service.name": "valet-runner", "service.instance.id": instanceId },
    frameDelayMs: 60_000,
    onDropped: (counts) => dropped.push(...counts),
    ...options,
  });
  const tracer = new Tracer({ scope: { name: "test" }, processor: outbox });
  const end = (...names: string[]) => {
    for (const name of names) tracer.startSpan(name).end();
  };
  const sent: SpanFrame[] = [];
  const connect = () => outbox.connect((frame) => sent.push(frame) > 0);
  return { folder, outbox, tracer, end, sent, connect, dropped };
}

const shown = ({ instanceId, seq, otlp }: SpanFrame) => [instanceId, seq, ...readSpans(otlp).map(({ name }) => name)];
const many = (count: number, prefix = "s") => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

describe("frames", () => {
  test("hold 50 spans, or what has come by a boundary, numbered from 1 and in order", () => {
    const { outbox, end, sent, connect } = setUp();
    connect();
    end(...many(120));
    outbox.flush();
    outbox.flush();
    expect(sent.map(({ seq, otlp }) => [seq, readSpans(otlp).length])).toEqual([
      [1, 50],
      [2, 50],
      [3, 20],
    ]);
    expect(sent.flatMap(({ otlp }) => readSpans(otlp)).map(({ name }) => name)).toEqual(many(120));
  });

  test("wait for more spans no longer than the delay", async () => {
    const { end, sent, connect } = setUp({ frameDelayMs: 5 });
    connect();
    end("alone");
    await vi.waitFor(() => expect(sent.map(shown)).toEqual([["a", 1, "alone"]]), 20_000);
  });

  test("carry resource and scope, and spans that are not sampled", () => {
    const { outbox, sent, connect } = setUp();
    const tracer = new Tracer({ scope: { name: "other" }, processor: outbox, sampler: recordDropped(alwaysOff) });
    tracer.startSpan("unsampled").end();
    outbox.flush();
    connect();
    const [{ otlp = "" } = {}] = sent;
    const [{ resource, scopeSpans }] = JSON.parse(otlp).resourceSpans;
    expect(resource.attributes[0]).toEqual({ key: "service.name", value: { stringValue: "valet-runner" } });
    expect(scopeSpans[0].scope).toEqual({ name: "other" });
    expect(readSpans(otlp)[0]?.flags).toBe(0x102);
  });

  test("fit the link, however large their spans", () => {
    const { outbox, tracer, sent, connect, dropped } = setUp();
    connect();
    for (const size of [200_000, 100_000, 300_000, 10]) {
      tracer.startSpan(`of ${size}`, { attributes: { text: '"'.repeat(size / 4) } }).end();
    }
    tracer.startSpan("too large", { attributes: { text: "x".repeat(MAX_LINK_FRAME_BYTES) } }).end();
    outbox.flush();
    for (const frame of sent) {
      expect(Buffer.byteLength(JSON.stringify({ type: "spans", ...frame }))).toBeLessThan(MAX_LINK_FRAME_BYTES);
    }
    expect(sent.flatMap(({ otlp }) => readSpans(otlp)).length).toBe(4);
    outbox.acknowledge("a", sent.length);
    expect(dropped).toEqual([["too_large", 1]]);
  });
});

describe("what is unacknowledged", () => {
  test("is sent again on a new link, and no longer once it is acknowledged", () => {
    const { outbox, end, sent, connect } = setUp({ maxFrameSpans: 1 });
    end("one", "two", "three");
    connect();
    outbox.acknowledge("a", 2);
    outbox.disconnect();
    end("four");
    sent.length = 0;
    connect();
    expect(sent.map(shown)).toEqual([
      ["a", 3, "three"],
      ["a", 4, "four"],
    ]);
    outbox.acknowledge("a", 4);
    expect(outbox.isEmpty).toBe(true);
  });

  test("does not end with an acknowledgement of what was not sent, or of another instance", () => {
    const { outbox, end } = setUp({ maxFrameSpans: 1 });
    end("one");
    outbox.acknowledge("a", 1);
    outbox.connect(() => true);
    outbox.acknowledge("b", 1);
    expect(outbox.isEmpty).toBe(false);
  });

  test("does not flood the link: 32 frames at a time", () => {
    const { outbox, end, sent, connect } = setUp({ maxFrameSpans: 1 });
    end(...many(40));
    connect();
    expect(sent.length).toBe(32);
    outbox.acknowledge("a", 3);
    expect(sent.length).toBe(35);
  });

  test("stays after a send that fails, for the next link", () => {
    const { outbox, end, sent, connect } = setUp({ maxFrameSpans: 1 });
    end("one", "two");
    outbox.connect(() => false);
    connect();
    expect(sent.map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("is bounded: the oldest is dropped and counted once there is a way to tell", () => {
    const { outbox, end, sent, connect, dropped } = setUp({ maxFrameSpans: 1, maxBytes: 4000 });
    end(...many(100));
    expect(dropped).toEqual([]);
    connect();
    const seqs = sent.map(({ seq }) => seq);
    expect(seqs.at(-1)).toBe(100);
    expect(seqs.length).toBeLessThan(20);
    outbox.acknowledge("a", 100);
    expect(dropped).toEqual([["queue_full", 100 - seqs.length]]);
  });

  test("is waited for, within bounds", async () => {
    const { outbox, end, connect } = setUp({ maxFrameSpans: 1 });
    end("one");
    connect();
    expect(await outbox.whenEmpty(1)).toBe(false);
    const empty = outbox.whenEmpty(10_000);
    outbox.acknowledge("a", 1);
    expect(await empty).toBe(true);
  });
});

describe("spans that are open", () => {
  const openOf = ({ seq, open = [] }: SpanFrame) => [seq, ...open.map((text) => parseOpenSpan(text)?.name)];
  const atOnce = () => new OpenSpans({ minAgeMs: 0 });

  test("go with the next frame of ended ones, or in one of their own", async () => {
    const { outbox, tracer, end, sent, connect } = setUp({ openSpans: atOnce() });
    connect();
    const turn = tracer.startSpan("turn");
    end("step");
    outbox.flush();
    expect(sent.map(openOf)).toEqual([[1, "turn"]]);
    const chat = tracer.startSpan("chat");
    outbox.flush();
    expect(sent.map(openOf)).toEqual([
      [1, "turn"],
      [2, "chat"],
    ]);
    expect(readSpans(sent[1]?.otlp ?? "")).toEqual([]);
    chat.end();
    turn.end();
    outbox.flush();
    expect(sent.map(openOf).at(-1)).toEqual([3]);
  });

  test("are told of by themselves, where nothing ends", async () => {
    const { tracer, sent, connect } = setUp({ frameDelayMs: 5, openSpans: atOnce() });
    connect();
    tracer.startSpan("hangs");
    await vi.waitFor(() => expect(sent.map(openOf)).toEqual([[1, "hangs"]]), 20_000);
  });

  test("cost at most two frames a second, however many begin, are heard of and end", () => {
    vi.useFakeTimers();
    try {
      const { outbox, tracer, sent, connect } = setUp({ frameDelayMs: 500, openSpans: new OpenSpans() });
      connect();
      for (let ms = 0; ms < 10_000; ms += 20) {
        const span = tracer.startSpan("chat");
        outbox.heard(span.context.spanId, Date.now());
        if (ms % 200 !== 0) span.end();
        vi.advanceTimersByTime(20);
      }
      // 450 have ended, 50 a frame: what fills a frame does not wait.
      expect(sent.length).toBeLessThanOrEqual(21 + 450 / 50);
    } finally {
      vi.useRealTimers();
    }
  });

  test("are sent again, in order, where the link broke; their ends come after them", () => {
    const { outbox, tracer, sent, connect } = setUp({ openSpans: atOnce() });
    connect();
    const span = tracer.startSpan("chat");
    outbox.flush();
    span.end();
    outbox.flush();
    outbox.disconnect();
    connect();
    expect(sent.slice(2).map((frame) => [...openOf(frame), ...readSpans(frame.otlp).map(({ name }) => name)])).toEqual([
      [1, "chat"],
      [2, "chat"],
    ]);
  });

  test("tell with each frame what attempts have come to", () => {
    const { outbox, end, sent, connect } = setUp();
    connect();
    const progress = [{ attemptId: "att_1", summary: NO_SUMMARY }];
    outbox.onProgress(() => progress);
    end("one");
    outbox.flush();
    expect(sent[0]?.progress).toEqual(progress);
  });

  test("are told of and kept with the first of their children that ends, however short they have been open", () => {
    const folder = temporaryFolder();
    const killed = setUp({ folder });
    killed.connect();
    const turn = killed.tracer.startSpan("turn");
    const agent = killed.tracer.startSpan("agent", { parent: turn });
    killed.tracer.startSpan("prepare", { parent: agent }).end();
    // Killed before the frame was due: its successor finds the child's end, and what it hangs below.
    const next = setUp({ folder, instanceId: "b" });
    const left: (string | undefined)[] = [];
    next.outbox.endLeftOpen((text) => left.push(parseOpenSpan(text)?.name));
    expect(left.sort()).toEqual(["agent", "turn"]);
    // Had it not been, the session would have heard of them with the child.
    killed.tracer.startSpan("chat", { parent: agent }).end();
    killed.outbox.flush();
    expect(killed.sent.map(openOf)).toEqual([[1, "turn", "agent"]]);
  });

  test("of an instance that was killed are ended by the next one, once", () => {
    const folder = temporaryFolder();
    const killed = setUp({ folder, openSpans: atOnce(), maxFrameSpans: 1 });
    killed.tracer.startSpan("turn");
    const chat = killed.tracer.startSpan("chat");
    killed.outbox.flush();
    chat.end();
    const next = setUp({ folder, instanceId: "b" });
    const left: (string | undefined)[] = [];
    next.outbox.endLeftOpen((text) => left.push(parseOpenSpan(text)?.name));
    next.outbox.endLeftOpen((text) => left.push(text));
    expect(left).toEqual(["turn"]);
    next.connect();
    next.outbox.acknowledge("a", 2);
    next.outbox.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("what an earlier instance left", () => {
  test("is delivered first and under that instance's name, ended spans of its last frame included", () => {
    const folder = temporaryFolder();
    const earlier = setUp({ folder, maxFrameSpans: 2 });
    earlier.end("one", "two", "three");
    // It was killed: nothing more is said.
    const { outbox, end, sent, connect } = setUp({ folder, instanceId: "b", maxFrameSpans: 1 });
    end("new");
    connect();
    expect(sent.map(shown)).toEqual([
      ["a", 1, "one", "two"],
      ["a", 2, "three"],
      ["b", 1, "new"],
    ]);
    expect(sent[0]?.otlp).toContain('"service.instance.id","value":{"stringValue":"a"}');
    outbox.acknowledge("a", 2);
    outbox.acknowledge("b", 1);
    expect(outbox.isEmpty).toBe(true);
    outbox.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("is delivered by the instance after the next, if that one died too", () => {
    const folder = temporaryFolder();
    setUp({ folder }).end("one");
    setUp({ folder, instanceId: "b" }).end("two");
    const { sent, connect } = setUp({ folder, instanceId: "c" });
    connect();
    expect(sent.map(shown).sort()).toEqual([
      ["a", 1, "one"],
      ["b", 1, "two"],
    ]);
  });

  test("is read up to where its writer was killed, wherever that was", () => {
    const folder = temporaryFolder();
    setUp({ folder }).end("one", "two", "three");
    const log = readFileSync(join(folder, "a.sqlite-wal"));
    let least = 0;
    for (const length of [...Array(Math.ceil(log.length / 1024)).keys()]
      .map((each) => each * 1024)
      .concat(log.length)) {
      const copy = temporaryFolder();
      copyFileSync(join(folder, "a.sqlite"), join(copy, "a.sqlite"));
      writeFileSync(join(copy, "a.sqlite-wal"), log.subarray(0, length));
      const { outbox, sent, connect } = setUp({ folder: copy, instanceId: "b" });
      connect();
      const names = sent.flatMap(({ otlp }) => readSpans(otlp)).map(({ name }) => name);
      expect(["one", "two", "three"].slice(0, names.length)).toEqual(names);
      expect(names.length).toBeGreaterThanOrEqual(least);
      least = names.length;
      outbox.close();
    }
    expect(least).toBe(3);
  });

  test("and can be read no more is removed and counted", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "damaged.sqlite"), "no database, and longer than the header of one".repeat(10));
    writeFileSync(join(folder, "empty.sqlite"), "");
    writeFileSync(join(folder, "half"), "");
    const { outbox, end, connect, dropped } = setUp({ folder, instanceId: "b" });
    end("one");
    outbox.flush();
    connect();
    outbox.acknowledge("b", 1);
    expect(dropped).toEqual([["shutdown", 1]]);
    outbox.close();
    expect(readdirSync(folder)).toEqual(["half"]);
  });

  test("of version 0.2.0 is taken over, but for a line that was being written", () => {
    const folder = temporaryFolder();
    const scope = JSON.stringify({ name: "test" });
    const lineOf = (seq: number, spanId: string) => `${seq}\t${scope}\t${JSON.stringify({ spanId, name: spanId })}\n`;
    const open = (spanId: string) => `open\t${serialiseSpan(spanCalled(spanId))}\n`;
    const text = `1\t{"attributes":[]}\n${open("one")}${lineOf(1, "1".repeat(16))}${lineOf(2, "2".repeat(16))}`;
    writeFileSync(join(folder, "a.spans"), `${text}${lineOf(3, "3".repeat(16)).slice(0, -20)}`);
    writeFileSync(join(folder, "a.spans.new"), "1\t{");
    writeFileSync(join(folder, "empty.spans"), "");
    const { outbox, sent, connect, dropped } = setUp({ folder, instanceId: "b" });
    connect();
    expect(sent.map(shown)).toEqual([
      ["a", 1, "1".repeat(16)],
      ["a", 2, "2".repeat(16)],
    ]);
    const left: (string | undefined)[] = [];
    outbox.endLeftOpen((span) => left.push(parseOpenSpan(span)?.name));
    expect(left).toEqual(["one"]);
    outbox.acknowledge("a", 2);
    expect(dropped).toEqual([["shutdown", 1]]);
    outbox.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});

/** An open span. */
function spanCalled(name: string): ReadableSpan {
  const tracer = new Tracer({
    scope: { name: "test" },
    processor: { onStart: (span) => spans.push(span), onEnd: () => {} },
  });
  const spans: ReadableSpan[] = [];
  tracer.startSpan(name);
  return spans[0] as ReadableSpan;
}

describe("the disk", () => {
  test("does not keep growing with what is acknowledged", () => {
    const { folder, outbox, tracer, connect } = setUp({ maxFrameSpans: 1 });
    connect();
    for (let seq = 1; seq <= 100; seq++) {
      tracer.startSpan("large", { attributes: { text: "x".repeat(20_000) } }).end();
      outbox.acknowledge("a", seq);
    }
    expect(statSync(join(folder, "a.sqlite")).size).toBeLessThan(400_000);
    // The log of what was written is written over from its beginning once it has a thousand pages.
    expect(statSync(join(folder, "a.sqlite-wal")).size).toBeLessThan(5_000_000);
    tracer.startSpan("last").end();
    const { sent, connect: connectNext } = setUp({ folder, instanceId: "b" });
    connectNext();
    expect(sent.map(shown).at(-1)).toEqual(["a", 101, "last"]);
  });

  test("may fail: spans are sent all the same", () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    const onDiskError = vi.fn();
    const { outbox, end, sent, connect } = setUp({ folder: file, onDiskError });
    end("one");
    outbox.flush();
    connect();
    expect(sent.map(shown)).toEqual([["a", 1, "one"]]);
    expect(onDiskError).toHaveBeenCalledOnce();
  });
});

test("a session without tracing gets nothing, also of what was there before it said so", () => {
  const { folder, outbox, end, sent, connect } = setUp();
  end("one");
  outbox.disable();
  end("two");
  outbox.flush();
  connect();
  expect(sent).toEqual([]);
  outbox.close();
  expect(readdirSync(folder)).toEqual([]);
});

test("whatever happens, each ended span arrives once a frame number, and frames never change", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant("end" as const) },
    ...(["flush", "connect", "disconnect", "acknowledge", "kill"] as const).map((each) => ({
      weight: 1,
      arbitrary: fc.constant(each),
    })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const folder = temporaryFolder();
      const frames = new Map<string, string>();
      let ended = 0;
      let instance = 0;
      const take = (frame: SpanFrame) => {
        const key = `${frame.instanceId} ${frame.seq}`;
        expect(frames.get(key) ?? frame.otlp).toBe(frame.otlp);
        frames.set(key, frame.otlp);
        return true;
      };
      const start = () => setUp({ folder, instanceId: `i${instance++}`, maxFrameSpans: 3 });
      let { outbox, end } = start();
      for (const each of steps) {
        if (each === "end") end(`s${ended++}`);
        else if (each === "flush") outbox.flush();
        else if (each === "connect") outbox.connect(take);
        else if (each === "disconnect") outbox.disconnect();
        else if (each === "acknowledge") {
          const seqs = [...frames.keys()].filter((key) => key.startsWith(`i${instance - 1} `));
          if (seqs.length > 0) outbox.acknowledge(`i${instance - 1}`, Math.ceil(seqs.length / 2));
        } else ({ outbox, end } = start());
      }
      outbox.flush();
      outbox.connect(take);
      while (!outbox.isEmpty) for (const key of frames.keys()) outbox.acknowledge(key.split(" ")[0]!, Infinity);
      const names = [...frames.values()].flatMap(readSpans).map(({ name }) => name);
      expect(names.sort()).toEqual(many(ended).sort());
    }),
    { numRuns: 60 },
  );
});
