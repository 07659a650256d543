import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRecorder, only } from "../../test/recorder.ts";
import { spans } from "../../test/span-arbitraries.ts";
import type { SpanContext } from "./context.ts";
import { parseOpenSpan, serialiseSpan } from "./open-span.ts";
import { encodeTraces } from "./otlp.ts";
import { contextHeaders } from "./propagation.ts";
import type { OpenSpan } from "./readable-span.ts";
import { type ReadableSpan, SpanKind, StatusCode } from "./readable-span.ts";
import { Tracer } from "./tracer.ts";

const RESOURCE = { "service.name": "test" };
const REMOTE: SpanContext = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 1,
  traceState: "vendor=1",
  isRemote: true,
};

function read(text: string): OpenSpan {
  return parseOpenSpan(text) ?? expect.fail(`not read: ${text.slice(0, 200)}`);
}

/** What a span holds of itself, apart from whoever holds it. */
function contentOf(span: ReadableSpan | OpenSpan) {
  const { context, parent, name, kind, startTime, attributes, events, links, statusCode, statusMessage } = span;
  const { droppedAttributes, droppedEvents, droppedLinks } = span;
  return {
    context,
    parent,
    name,
    kind,
    startTime,
    attributes,
    events,
    links,
    statusCode,
    statusMessage,
    droppedAttributes,
    droppedEvents,
    droppedLinks,
  };
}

/** A span with something of everything. */
function openSpan(): ReadableSpan {
  const { tracer, started } = createRecorder({ limits: { attributes: 4 } });
  const span = tracer.startSpan("work", {
    kind: SpanKind.CONSUMER,
    parent: REMOTE,
    startTime: 1_700_000_000_123_456_789n,
    attributes: { big: 2n ** 64n, odd: [-0, Number.NaN, null], bytes: Uint8Array.of(0, 255), text: "\ud800", lost: 1 },
    links: [{ context: REMOTE, attributes: { why: "test" } }],
  });
  span.addEvent("event", { a: 1 }, 1_700_000_000_200);
  span.setStatus(StatusCode.ERROR, "timeout");
  return only(started);
}

describe("written and read", () => {
  test("a span is the same, with any contents", () => {
    fc.assert(
      fc.property(spans, (span) => {
        expect(read(serialiseSpan(span))).toStrictEqual(contentOf(span));
      }),
      { numRuns: 500 },
    );
  });

  test("a second time is the same text", () => {
    const text = serialiseSpan(openSpan());
    expect(serialiseSpan(read(text))).toBe(text);
  });

  test("values that JSON cannot represent are the same, also in events, links and arrays, and with escapes in the text", () => {
    const { tracer, started } = createRecorder();
    const attributes = { least: -0, list: [1n, [Number.NaN]], bytes: new Uint8Array([1]) };
    for (const what of ["attributes", "event", "link"] as const) {
      const span = tracer.startSpan(what, what === "attributes" ? { attributes } : {});
      if (what === "event") span.addEvent("happened", attributes);
      if (what === "link") span.addLink({ context: REMOTE, attributes });
      const open = started.at(-1) as ReadableSpan;
      const text = serialiseSpan(open);
      for (const each of [text, text.replaceAll('"$"', '"\\u0024"')])
        expect(contentOf(read(each))).toEqual(contentOf(open));
    }
  });

  test("bigints are the same even if BigInt.prototype.toJSON exists", () => {
    const prototype = BigInt.prototype as { toJSON?: () => string };
    prototype.toJSON = function (this: bigint) {
      return `${this}`;
    };
    try {
      const span = openSpan();
      expect(read(serialiseSpan(span)).attributes).toEqual(span.attributes);
    } finally {
      delete prototype.toJSON;
    }
  });
});

describe("resumed by another tracer", () => {
  test("a span continues, and ends once, with the other's scope and processor", () => {
    const before = openSpan();
    const { tracer, started, ended, diagnostics } = createRecorder({ scope: { name: "other" } });
    const span = tracer.resumeSpan(read(serialiseSpan(before)));
    expect(span.isRecording).toBe(true);
    expect(span.context).toEqual(before.context);
    expect(started).toEqual([]);
    span.setAttribute("big", 1);
    span.addEvent("later");
    span.addLink({ context: REMOTE });
    span.setStatus(StatusCode.OK);
    span.updateName("renamed");
    span.end();
    span.end();
    const after = only(ended);
    expect(after).toMatchObject({
      ...contentOf(before),
      scope: { name: "other" },
      name: "renamed",
      attributes: ["big", 1, ...before.attributes.slice(2)],
      events: [...before.events, { name: "later" }],
      links: [...before.links, { context: REMOTE }],
      statusCode: StatusCode.OK,
      statusMessage: "",
    });
    expect(diagnostics).toEqual([
      { type: "span_limits", span: "renamed", droppedAttributes: 1, droppedEvents: 0, droppedLinks: 0 },
    ]);
  });

  test("changes do not affect the parsed span", () => {
    const open = read(serialiseSpan(openSpan()));
    const copy = structuredClone(open);
    const { tracer } = createRecorder();
    const span = tracer.resumeSpan(open);
    span.setAttribute("a", 1);
    span.addEvent("later");
    span.addLink({ context: REMOTE });
    expect(open).toEqual(copy);
  });

  test("children made before and after have the same parent", () => {
    const { tracer, started } = createRecorder();
    const span = tracer.startSpan("work");
    tracer.startSpan("before", { parent: span });
    const other = createRecorder();
    const resumed = other.tracer.resumeSpan(read(serialiseSpan(started[0] as ReadableSpan)));
    other.tracer.startSpan("after", { parent: resumed });
    expect(only(other.started).parent).toEqual(started[1]?.parent);
  });

  test("an end before the start is set to the start", () => {
    const { tracer, ended } = createRecorder({ clock: () => ({ seconds: 1, nanos: 0 }) });
    tracer.resumeSpan(read(serialiseSpan(openSpan()))).end();
    const { startTime, endTime } = only(ended);
    expect(endTime).toEqual(startTime);
  });

  test("its smaller limits apply to additions only", () => {
    const before = openSpan();
    const { tracer, ended } = createRecorder({ limits: { attributes: 1, events: 1, links: 1 } });
    const span = tracer.resumeSpan(read(serialiseSpan(before)));
    span.setAttribute("new", 1);
    span.addEvent("new");
    span.addLink({ context: REMOTE });
    span.end();
    expect(only(ended)).toMatchObject({
      attributes: before.attributes,
      events: before.events,
      links: before.links,
      droppedAttributes: 2,
      droppedEvents: 1,
      droppedLinks: 1,
    });
  });

  test("a span with more attributes than a call may have arguments is resumed completely", () => {
    const attributes = Array.from({ length: 200_000 }, (_, i) => [`key ${i}`, i]).flat();
    const { tracer, ended } = createRecorder();
    tracer.resumeSpan({ ...contentOf(openSpan()), attributes }).end();
    expect(only(ended).attributes).toHaveLength(400_000);
  });

  test("that is disabled propagates its context", () => {
    const open = read(serialiseSpan(openSpan()));
    const processor = { onStart: () => expect.fail(), onEnd: () => expect.fail() };
    const tracer = new Tracer({ scope: { name: "off" }, processor, enabled: false });
    const span = tracer.resumeSpan(open);
    expect(span.context).toBe(open.context);
    expect(tracer.resumeSpan(open)).toBe(span);
    span.end();
  });
});

describe("any other text is not parsed", () => {
  const stored = JSON.parse(serialiseSpan(openSpan()));

  test.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["null", "null"],
    ["a number", "1"],
    ["a list", "[]"],
    ["an empty object", "{}"],
  ])("%s", (_name, text) => {
    expect(parseOpenSpan(text)).toBeUndefined();
  });

  test("an older, a newer, an unknown format, and none", () => {
    expect(stored.format).toBe(1);
    for (const format of [0, 2, "1", null, undefined, 1.5]) {
      expect(parseOpenSpan(JSON.stringify({ ...stored, format }))).toBeUndefined();
    }
  });

  test("a missing part", () => {
    for (const key of Object.keys(stored)) {
      if (key === "parent") continue;
      expect(parseOpenSpan(JSON.stringify({ ...stored, [key]: undefined })), key).toBeUndefined();
    }
  });

  const time = { seconds: 1, nanos: 1 };
  const event = { name: "event", time, attributes: [], droppedAttributes: 0 };
  const link = { context: REMOTE, attributes: [], droppedAttributes: 0 };

  test.each<[string, object]>([
    ["a context without ids", { context: {} }],
    ["an id with a quote in it", { context: { ...REMOTE, spanId: '"7ad6b7169203331' } }],
    ["an id of zeros", { context: { ...REMOTE, traceId: "0".repeat(32) } }],
    ["an id in a list", { context: { ...REMOTE, spanId: [REMOTE.spanId] } }],
    ["a parent without ids", { parent: {} }],
    ["a parent of null", { parent: null }],
    ["a name that is no text", { name: 1 }],
    ["a kind of text", { kind: '1,"x":1' }],
    ["an unknown kind", { kind: 6 }],
    ["a start in milliseconds", { startTime: 1 }],
    ["a start as a bigint", { startTime: { $: "bigint", v: "1" } }],
    ["a start before 1970", { startTime: { seconds: -1, nanos: 0 } }],
    ["a start past 64 bits", { startTime: { seconds: 2e10, nanos: 0 } }],
    ["nanoseconds past a second", { startTime: { seconds: 1, nanos: 1e9 } }],
    ["attributes that are no list", { attributes: { length: 0 } }],
    ["a key without a value", { attributes: ["a"] }],
    ["a key that is no text", { attributes: [1, 1] }],
    ["an empty key", { attributes: ["", 1] }],
    ["a key twice", { attributes: ["a", 1, "a", 2] }],
    ["a value that is an object", { attributes: ["a", { b: 1 }] }],
    ["an object of an unknown kind", { attributes: ["a", { $: "x", v: [] }] }],
    ["a bigint of letters", { attributes: ["a", { $: "bigint", v: "abc" }] }],
    ["bytes of no text", { attributes: ["a", { $: "bytes", v: 1 }] }],
    ["an event of null", { events: [null] }],
    ["an event without name", { events: [{ ...event, name: undefined }] }],
    ["an event without time", { events: [{ ...event, time: undefined }] }],
    ["an event's attribute without value", { events: [{ ...event, attributes: ["a"] }] }],
    ["events that are no list", { events: "event" }],
    ["a link without context", { links: [{ ...link, context: undefined }] }],
    ["a link's negative count", { links: [{ ...link, droppedAttributes: -1 }] }],
    ["an unknown status", { statusCode: 3 }],
    ["a status of text", { statusCode: "2" }],
    ["a message that is no text", { statusMessage: {} }],
    ["a count that is no integer", { droppedAttributes: 0.5 }],
    ["a count past 32 bits", { droppedEvents: 2 ** 32 }],
    ["a count of text", { droppedLinks: "1" }],
  ])("%s", (_name, part) => {
    expect(parseOpenSpan(JSON.stringify({ ...stored, ...part }))).toBeUndefined();
  });

  test("deeply nested lists", () => {
    const text = JSON.stringify({ ...stored, attributes: ["a", "HERE"] });
    for (const depth of [33, 1000, 100_000]) {
      const deep = "[".repeat(depth) + "]".repeat(depth);
      expect(parseOpenSpan(text.replace('"HERE"', deep))).toBeUndefined();
    }
  });

  test("a value in the place of a map", () => {
    expect(parseOpenSpan(JSON.stringify({ ...stored, name: { $: "number", v: "1" } }))).toBeUndefined();
  });

  test("additional fields are ignored", () => {
    const { endTime, scope, ...rest } = { ...stored, endTime: time, scope: { name: "x" } };
    const open = read(JSON.stringify({ ...rest, endTime, scope, toJSON: 1, context: { ...REMOTE, extra: 1 } }));
    expect(open).not.toHaveProperty("endTime");
    expect(open).not.toHaveProperty("scope");
    expect(open.context).toEqual(REMOTE);
  });

  test("an invalid tracestate is removed, the context stays", () => {
    const text = JSON.stringify({ ...stored, context: { ...REMOTE, traceState: "a=1\r\nx-evil: 1", traceFlags: 255 } });
    const { context } = read(text);
    expect(context).toEqual({ ...REMOTE, traceState: "", traceFlags: 3 });
    expect(() => new Headers(contextHeaders(context))).not.toThrow();
  });
});

test("any parsed text can be resumed, ended and encoded", () => {
  const text = serialiseSpan(openSpan());
  /** Any JSON value in the place of any part of a stored span. */
  const hostile = fc.tuple(fc.nat(), fc.jsonValue({ maxDepth: 2 })).map(([place, value]) => {
    const root = { stored: JSON.parse(text) };
    const places: [Record<string, unknown>, string][] = [];
    const walk = (node: unknown) => {
      if (typeof node !== "object" || node === null) return;
      for (const [key, child] of Object.entries(node)) {
        places.push([node as Record<string, unknown>, key]);
        walk(child);
      }
    };
    walk(root);
    const [holder, key] = places[place % places.length] as [Record<string, unknown>, string];
    holder[key] = value;
    return JSON.stringify(root.stored) ?? "";
  });
  const { tracer, ended } = createRecorder();
  let taken = 0;
  fc.assert(
    fc.property(hostile, (mutated) => {
      const open = parseOpenSpan(mutated);
      if (open === undefined) return;
      taken++;
      tracer.resumeSpan(open).end();
      const { resourceSpans } = JSON.parse(encodeTraces(RESOURCE, ended.splice(0)));
      expect(resourceSpans[0].scopeSpans[0].spans).toHaveLength(1);
    }),
    { numRuns: 2000 },
  );
  expect(taken).toBeGreaterThan(0);
});
