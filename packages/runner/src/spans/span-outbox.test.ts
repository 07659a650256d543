import { Database } from "bun:sqlite";
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import { type SpanFrame, spansNamed } from "@valet/shared/protocol/span-frame";
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
import { SpanOutbox, type SpanOutboxOptions } from "./span-outbox.ts";

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

/** Spans of another program, in a batch. */
const foreign = (...names: string[]) =>
  names.map((name, index) => {
    const spanId = `${index + 1}`.padStart(16, "f");
    const span = JSON.stringify({ traceId: "1".repeat(32), spanId, name, flags: 0x101 });
    return { spanId, resource: '{"attributes":[]}', scope: "{}", span };
  });

const shown = ({ instanceId, seq, otlp }: SpanFrame) => [instanceId, seq, ...readSpans(otlp).map(({ name }) => name)];
const many = (count: number, prefix = "s") => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

describe("frames", () => {
  test("contain up to 50 spans, are numbered from 1, and are sent in order", () => {
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

  test("wait for more spans for at most the delay", async () => {
    const { end, sent, connect } = setUp({ frameDelayMs: 5 });
    connect();
    end("alone");
    await vi.waitFor(() => expect(sent.map(shown)).toEqual([["a", 1, "alone"]]), 20_000);
  });

  test("contain resource and scope, and also unsampled spans", () => {
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

  test("stay below the link's limit, however large their spans are", () => {
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

describe("an unacknowledged frame", () => {
  test("is resent on a new link, until it is acknowledged", () => {
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

  test("is not removed by an acknowledgement before it was sent, or for another instance", () => {
    const { outbox, end } = setUp({ maxFrameSpans: 1 });
    end("one");
    outbox.acknowledge("a", 1);
    outbox.connect(() => true);
    outbox.acknowledge("b", 1);
    expect(outbox.isEmpty).toBe(false);
  });

  test("does not flood the link: at most 32 frames are in flight", () => {
    const { outbox, end, sent, connect } = setUp({ maxFrameSpans: 1 });
    end(...many(40));
    connect();
    expect(sent.length).toBe(32);
    outbox.acknowledge("a", 3);
    expect(sent.length).toBe(35);
  });

  test("is resent on the next link after a failed send", () => {
    const { outbox, end, sent, connect } = setUp({ maxFrameSpans: 1 });
    end("one", "two");
    outbox.connect(() => false);
    connect();
    expect(sent.map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("is dropped when the limit is exceeded, oldest first; the losses are reported after the next acknowledgement", () => {
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

  test("can be awaited, with a timeout", async () => {
    const { outbox, end, connect } = setUp({ maxFrameSpans: 1 });
    end("one");
    connect();
    expect(await outbox.whenEmpty(1)).toBe(false);
    const empty = outbox.whenEmpty(10_000);
    outbox.acknowledge("a", 1);
    expect(await empty).toBe(true);
  });
});

describe("the last frame of an attempt", () => {
  test("is included in the frame of its end, counts as sent, and is resent on a new link", () => {
    const { outbox, end, sent, connect } = setUp();
    connect();
    end("one");
    outbox.flush();
    end("two", "three");
    const carried = outbox.flushInto(MAX_LINK_FRAME_BYTES);
    expect(carried && shown(carried)).toEqual(["a", 2, "two", "three"]);
    end("four");
    outbox.flush();
    expect(sent.map(shown)).toEqual([
      ["a", 1, "one"],
      ["a", 3, "four"],
    ]);
    outbox.acknowledge("a", 1);
    outbox.disconnect();
    sent.length = 0;
    connect();
    expect(sent.map(({ seq }) => seq)).toEqual([2, 3]);
    outbox.acknowledge("a", 3);
    expect(outbox.isEmpty).toBe(true);
  });

  test("is sent separately if there is no room, and after earlier frames that could not be sent", () => {
    const { outbox, end, sent, connect } = setUp({ maxFrameSpans: 1 });
    end("unsent");
    expect(outbox.flushInto(MAX_LINK_FRAME_BYTES)).toBeUndefined();
    connect();
    const large = setUp();
    large.connect();
    large.tracer.startSpan("large", { attributes: { text: '"'.repeat(100_000) } }).end();
    expect(large.outbox.flushInto(300_000)).toBeUndefined();
    expect(large.sent).toHaveLength(1);
    expect(sent).toHaveLength(1);
    end(...many(40));
    expect(sent).toHaveLength(32);
    expect(outbox.flushInto(MAX_LINK_FRAME_BYTES)).toBeUndefined();
    expect(outbox.flushInto(0)).toBeUndefined();
  });

  test("fits into the frame of the end, whatever it contains", () => {
    const rooms = fc.integer({ min: 1, max: MAX_LINK_FRAME_BYTES });
    const texts = fc.array(fc.string({ unit: "binary", maxLength: 40_000 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(rooms, texts, (room, values) => {
        const { outbox, tracer, connect } = setUp();
        connect();
        for (const text of values) tracer.startSpan("s", { attributes: { text } }).end();
        const carried = outbox.flushInto(room);
        if (carried !== undefined)
          expect(Buffer.byteLength(JSON.stringify({ spans: carried }))).toBeLessThanOrEqual(room);
        outbox.close();
      }),
      { numRuns: 50 },
    );
  });
});

describe("open spans", () => {
  const openOf = ({ seq, open = [] }: SpanFrame) => [seq, ...open.map((text) => parseOpenSpan(text)?.name)];
  const atOnce = () => new OpenSpans({ minAgeMs: 0 });

  test("are sent with the next frame of ended spans, or in a frame of their own", async () => {
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

  test("are sent even if no span ends", async () => {
    const { tracer, sent, connect } = setUp({ frameDelayMs: 5, openSpans: atOnce() });
    connect();
    tracer.startSpan("hangs");
    await vi.waitFor(() => expect(sent.map(openOf)).toEqual([[1, "hangs"]]), 20_000);
  });

  test("cause at most two frames per second, however many begin, progress and end", () => {
    vi.useFakeTimers();
    try {
      const { outbox, tracer, sent, connect } = setUp({ frameDelayMs: 500, openSpans: new OpenSpans() });
      connect();
      for (let ms = 0; ms < 10_000; ms += 20) {
        const span = tracer.startSpan("chat");
        outbox.heard(span.context.spanId, Date.now(), "content");
        if (ms % 200 !== 0) span.end();
        vi.advanceTimersByTime(20);
      }
      // 450 have ended, 50 per frame. A full frame does not wait.
      expect(sent.length).toBeLessThanOrEqual(21 + 450 / 50);
    } finally {
      vi.useRealTimers();
    }
  });

  test("are resent in order after the link broke, before their ends", () => {
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

  test("are accompanied by the progress of attempts", () => {
    const { outbox, end, sent, connect } = setUp();
    connect();
    const progress = [{ attemptId: "att_1", summary: NO_SUMMARY }];
    outbox.onProgress(() => progress);
    end("one");
    outbox.flush();
    expect(sent[0]?.progress).toEqual(progress);
  });

  test("are stored and sent with their first ended child, whatever their age", () => {
    const folder = temporaryFolder();
    const killed = setUp({ folder });
    killed.connect();
    const turn = killed.tracer.startSpan("turn");
    const agent = killed.tracer.startSpan("agent", { parent: turn });
    killed.tracer.startSpan("prepare", { parent: agent }).end();
    // Killed before the frame was due. Its successor finds the ended child and the child's ancestors.
    const next = setUp({ folder, instanceId: "b" });
    const left: (string | undefined)[] = [];
    next.outbox.endLeftOpen((text) => left.push(parseOpenSpan(text)?.name));
    expect(left.sort()).toEqual(["agent", "turn"]);
    // If it had not been killed, the session would have received them with the child.
    killed.tracer.startSpan("chat", { parent: agent }).end();
    killed.outbox.flush();
    expect(killed.sent.map(openOf)).toEqual([[1, "turn", "agent"]]);
  });

  test("of a killed instance are ended by the next one, once", () => {
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

describe("the log of an earlier instance", () => {
  test("is delivered first and with that instance's id, including its last frame", () => {
    const folder = temporaryFolder();
    const earlier = setUp({ folder, maxFrameSpans: 2 });
    earlier.end("one", "two", "three");
    // It was killed without closing its log.
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

  test("keeps the resource of adopted spans, also of a log from before there were any", () => {
    const folder = temporaryFolder();
    const resource = '{"attributes":[{"key":"service.name","value":{"stringValue":"suite"}}]}';
    const adopt = ({ outbox }: ReturnType<typeof setUp>, name: string) => {
      const span = JSON.stringify({ traceId: "1".repeat(32), spanId: "2".repeat(16), name, flags: 0x101 });
      outbox.adopt([{ spanId: "2".repeat(16), resource, scope: '{"name":"http"}', span }]);
    };
    const killed = setUp({ folder });
    killed.end("own");
    adopt(killed, "theirs");
    killed.end("own, too");
    // It was killed without closing its log.
    const { sent, connect } = setUp({ folder, instanceId: "b" });
    connect();
    const found = sent.flatMap(({ otlp }) =>
      (JSON.parse(otlp) as { resourceSpans: { resource: { attributes: { value: object }[] } }[] }).resourceSpans.map(
        (each) => [
          each.resource.attributes[0]?.value,
          readSpans(JSON.stringify({ resourceSpans: [each] })).map(({ name }) => name),
        ],
      ),
    );
    expect(found).toEqual([
      [{ stringValue: "valet-runner" }, ["own", "own, too"]],
      [{ stringValue: "suite" }, ["theirs"]],
    ]);
    expect(sent.flatMap(({ ids = [] }) => spansNamed(ids)).map(({ spanId }) => spanId)).toContain("2".repeat(16));
    // A log of a runner that knew no adopted spans.
    const earlier = new Database(join(folder, "old.sqlite"), { create: true });
    earlier.run("CREATE TABLE resource (json TEXT NOT NULL) STRICT");
    earlier.run(`INSERT INTO resource VALUES ('{"attributes":[]}')`);
    earlier.run(
      "CREATE TABLE spans (seq INTEGER NOT NULL, span_id TEXT NOT NULL, scope TEXT NOT NULL, span TEXT NOT NULL) STRICT",
    );
    earlier.run("CREATE TABLE open_spans (span_id TEXT PRIMARY KEY, span TEXT NOT NULL) STRICT");
    earlier
      .query("INSERT INTO spans VALUES (1, ?, ?, ?)")
      .run("3".repeat(16), '{"name":"old"}', JSON.stringify({ name: "from then" }));
    earlier.close();
    const after = setUp({ folder, instanceId: "c" });
    after.connect();
    expect(after.sent.map(shown)).toContainEqual(["old", 1, "from then"]);
  });

  test("is delivered by the instance after the next, if the next one died, too", () => {
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

  test("is read up to any point at which its writer was killed", () => {
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

  test("is removed and counted if it cannot be read", () => {
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

  test("of version 0.2.0 is migrated, except for a line that was cut off", () => {
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

/** Returns an open span. */
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
  test("does not fill up with acknowledged frames", () => {
    const { folder, outbox, tracer, connect } = setUp({ maxFrameSpans: 1 });
    connect();
    for (let seq = 1; seq <= 100; seq++) {
      tracer.startSpan("large", { attributes: { text: "x".repeat(20_000) } }).end();
      outbox.acknowledge("a", seq);
    }
    expect(statSync(join(folder, "a.sqlite")).size).toBeLessThan(400_000);
    // SQLite overwrites its write-ahead log from the beginning once it has a thousand pages.
    expect(statSync(join(folder, "a.sqlite-wal")).size).toBeLessThan(5_000_000);
    tracer.startSpan("last").end();
    const { sent, connect: connectNext } = setUp({ folder, instanceId: "b" });
    connectNext();
    expect(sent.map(shown).at(-1)).toEqual(["a", 101, "last"]);
  });

  test("may fail without an effect on sending", () => {
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

  test("may fail within a batch of another program's spans, and each is sent once all the same", () => {
    const { folder, outbox, sent, connect } = setUp({ maxFrameSpans: 2 });
    const onDiskError = vi.fn();
    const failing = setUp({ folder, instanceId: "b", maxFrameSpans: 2, onDiskError });
    // SQLite ends the transaction by itself, as on a full disk.
    const other = new Database(join(folder, "b.sqlite"));
    other.run(
      "CREATE TRIGGER full BEFORE INSERT ON spans WHEN NEW.span LIKE '%three%' BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
    );
    other.close();
    failing.outbox.adopt(foreign("one", "two", "three", "four"));
    failing.outbox.adopt(foreign("five"));
    failing.outbox.flush();
    failing.connect();
    expect(failing.sent.map(shown)).toEqual([
      ["b", 1, "one", "two"],
      ["b", 2, "three", "four"],
      ["b", 3, "five"],
    ]);
    expect(onDiskError).toHaveBeenCalledOnce();
    outbox.adopt(foreign("one"));
    outbox.flush();
    connect();
    expect(sent.map(shown)).toEqual([["a", 1, "one"]]);
  });
});

test("a session without tracing receives no spans, not even earlier ones", () => {
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

test("in any sequence of events, each ended span is in exactly one frame, and frames never change", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant("end" as const) },
    { weight: 2, arbitrary: fc.constant("adopt" as const) },
    ...(["flush", "carry", "carry and lose", "connect", "disconnect", "acknowledge", "kill"] as const).map((each) => ({
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
        else if (each === "adopt") outbox.adopt(foreign(...Array.from({ length: 5 }, () => `s${ended++}`)));
        else if (each === "flush") outbox.flush();
        else if (each === "carry" || each === "carry and lose") {
          const carried = outbox.flushInto(MAX_LINK_FRAME_BYTES);
          if (each === "carry and lose") outbox.disconnect();
          else if (carried !== undefined) take(carried);
        } else if (each === "connect") outbox.connect(take);
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

describe("ids", () => {
  const idsOf = (frames: readonly SpanFrame[]) => frames.flatMap(({ ids = [] }) => spansNamed(ids));

  test("of the spans in a frame are beside it, also of those that a dead runner left", () => {
    const { folder, outbox, end } = setUp();
    end("one", "two");
    outbox.close();
    const successor = setUp({ folder, instanceId: "b" });
    successor.end("three");
    successor.outbox.flush();
    successor.connect();
    const spans = successor.sent.flatMap(({ otlp }) => readSpans(otlp));
    expect(spans).toHaveLength(3);
    expect(idsOf(successor.sent)).toEqual(spans.map(({ traceId, spanId }) => ({ traceId, spanId })));
  });

  test("of lost spans are in the next frame, also if that is lost", () => {
    const { outbox, tracer, sent, connect } = setUp({ maxBytes: 1500 });
    const [first, large, second, third] = ["first", "large", "second", "third"].map((name) => tracer.startSpan(name));
    first?.end();
    outbox.flush();
    large?.setAttribute("text", "x".repeat(MAX_LINK_FRAME_BYTES));
    large?.end();
    second?.setAttribute("text", "x".repeat(1000));
    second?.end();
    outbox.flush();
    third?.setAttribute("text", "x".repeat(1000));
    third?.end();
    outbox.flush();
    const last = tracer.startSpan("last");
    last.end();
    outbox.flush();
    connect();
    // As the report of the drops does, once something is acknowledged.
    tracer.startSpan("report").end();
    outbox.flush();
    const lost = sent.flatMap((frame) => frame.lost ?? []).map(({ reason, ids }) => [reason, spansNamed(ids)]);
    const arrived = idsOf(sent).map(({ spanId }) => spanId);
    expect(arrived).toContain(last.context.spanId);
    const named = lost.flatMap(([, spans]) => spans as { spanId: string }[]).map(({ spanId }) => spanId);
    const all = [first, large, second, third].map((span) => span?.context.spanId);
    expect([...arrived, ...named]).toEqual(expect.arrayContaining([...all, last.context.spanId]));
    expect(lost).toContainEqual(["too_large", [expect.objectContaining({ spanId: large?.context.spanId })]]);
  });
});
