import { describe, expect, test } from "vitest";
import { createRecorder, only, untyped } from "../../test/recorder.ts";
import { attributesToObject } from "./attributes.ts";
import { INVALID_CONTEXT, type SpanContext } from "./context.ts";
import type { SpanLimits } from "./limits.ts";
import { isSpanKind, type SpanEvent, SpanKind, StatusCode } from "./readable-span.ts";
import { type Clock, compareTimes, createAnchoredClock, type EpochTime, type TimeInput, wallClock } from "./time.ts";
import type { TracerOptions } from "./tracer.ts";

const FROZEN: EpochTime = { seconds: 1_700_000_000, nanos: 123_000_000 };
const EARLIER: EpochTime = { seconds: 1_000_000_000, nanos: 1 };
const LATER: EpochTime = { seconds: 7_000_000_000, nanos: 999_999_999 };

const OTHER: SpanContext = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 1,
  traceState: "vendor=1",
  isRemote: true,
};

function fail(): never {
  throw new Error("hostile");
}

function eventObject({ name, attributes, droppedAttributes }: SpanEvent) {
  return { name, attributes: attributesToObject(attributes), droppedAttributes };
}

test("the kinds are OTLP's, one above those of the API", () => {
  expect(SpanKind).toEqual({ INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 });
  expect(Object.values(SpanKind).every(isSpanKind)).toBe(true);
  expect([0, 6, 1.5, Number.NaN, "1", undefined, null, {}].some(isSpanKind)).toBe(false);
});

describe.each<[string, () => Clock]>([
  ["a running clock", createAnchoredClock],
  ["the wall clock", () => wallClock],
  ["a frozen clock", () => () => FROZEN],
])("on %s", (_name, createClock) => {
  function record(options: Partial<TracerOptions> = {}) {
    return createRecorder({ clock: createClock(), ...options });
  }

  /** A span, the same as its processor gets it, and what else is known of its tracer. */
  function begin(options: Partial<TracerOptions> = {}) {
    const recorder = record(options);
    const span = recorder.tracer.startSpan("work");
    return { ...recorder, span, recorded: only(recorder.started) };
  }

  describe("a span records", () => {
    test("its name, kind, attributes and links from the start", () => {
      const { tracer, started } = record();
      const links = [{ context: OTHER, attributes: { why: "test" } }];
      tracer.startSpan("work", { kind: SpanKind.CLIENT, attributes: { a: 1, b: undefined }, links });
      expect(only(started)).toMatchObject({
        scope: { name: "test" },
        name: "work",
        kind: SpanKind.CLIENT,
        attributes: ["a", 1],
        links: [{ context: OTHER, attributes: ["why", "test"], droppedAttributes: 0 }],
        events: [],
        statusCode: StatusCode.UNSET,
        statusMessage: "",
        endTime: undefined,
      });
    });

    test("attributes set later, one and several, the last value of a key", () => {
      const { span, recorded } = begin();
      span.setAttribute("a", 1);
      span.setAttributes({ a: 2, b: [true] });
      span.setAttribute("c", undefined);
      expect(attributesToObject(recorded.attributes)).toEqual({ a: 2, b: [true] });
    });

    test("events in the order of the calls, with time and attributes", () => {
      const { span, recorded } = begin();
      span.addEvent("first");
      span.addEvent("second", { a: 1 }, EARLIER);
      span.addEvent("third");
      expect(recorded.events.map(eventObject)).toEqual([
        { name: "first", attributes: {}, droppedAttributes: 0 },
        { name: "second", attributes: { a: 1 }, droppedAttributes: 0 },
        { name: "third", attributes: {}, droppedAttributes: 0 },
      ]);
      const [first, second, third] = recorded.events.map((event) => event.time) as [EpochTime, EpochTime, EpochTime];
      expect(second).toEqual(EARLIER);
      expect(compareTimes(recorded.startTime, first)).toBeLessThanOrEqual(0);
      expect(compareTimes(first, third)).toBeLessThanOrEqual(0);
    });

    test("links that were not known at the start", () => {
      const { span, recorded } = begin();
      span.addLink({ context: OTHER });
      span.addLink({ context: OTHER, attributes: { why: "again" } });
      expect(recorded.links).toEqual([
        { context: OTHER, attributes: [], droppedAttributes: 0 },
        { context: OTHER, attributes: ["why", "again"], droppedAttributes: 0 },
      ]);
    });

    test("its last name", () => {
      const { span, recorded } = begin();
      span.updateName("renamed");
      expect(recorded.name).toBe("renamed");
    });

    test("spans share no state", () => {
      const { tracer, ended } = record();
      const [one, two] = [tracer.startSpan("one"), tracer.startSpan("two")];
      one.addEvent("event");
      one.addLink({ context: OTHER });
      one.setAttribute("a", 1);
      two.end();
      expect(only(ended)).toMatchObject({ name: "two", events: [], links: [], attributes: [] });
    });
  });

  describe("times", () => {
    test("start and end are the clock's by default", () => {
      const clock = createClock();
      const before = clock();
      const { tracer, ended } = record({ clock });
      tracer.startSpan("work").end();
      const { startTime, endTime } = only(ended) as { startTime: EpochTime; endTime: EpochTime };
      expect(compareTimes(before, startTime)).toBeLessThanOrEqual(0);
      expect(compareTimes(startTime, endTime)).toBeLessThanOrEqual(0);
      expect(compareTimes(endTime, clock())).toBeLessThanOrEqual(0);
    });

    test.each<[string, TimeInput, EpochTime]>([
      ["epoch milliseconds", 1_700_000_000_123.5, { seconds: 1_700_000_000, nanos: 123_500_000 }],
      ["a date", new Date(1_700_000_000_123), { seconds: 1_700_000_000, nanos: 123_000_000 }],
      ["epoch nanoseconds", 1_700_000_000_123_456_789n, { seconds: 1_700_000_000, nanos: 123_456_789 }],
      ["a time", LATER, LATER],
      ["the epoch", 0, { seconds: 0, nanos: 0 }],
    ])("%s are taken for start, event and end", (_input, input, time) => {
      const { tracer, ended } = record();
      const span = tracer.startSpan("work", { startTime: input });
      span.addEvent("event", undefined, input);
      span.end(input);
      expect(only(ended)).toMatchObject({ startTime: time, events: [{ time }], endTime: time });
    });

    test.each([[Number.NaN], [-1], [new Date(Number.NaN)], [-1n], [10n ** 30n], ["2020"], [null], [{}], [Symbol("s")]])(
      "%o is no time: the clock's is used",
      (input) => {
        const { tracer, ended } = record({ clock: () => FROZEN });
        const span = tracer.startSpan("work", { startTime: untyped(input) });
        span.addEvent("event", undefined, untyped(input));
        span.end(untyped(input));
        expect(only(ended)).toMatchObject({ startTime: FROZEN, events: [{ time: FROZEN }], endTime: FROZEN });
      },
    );

    test("an end before the start is set to the start", () => {
      const { tracer, ended } = record();
      tracer.startSpan("work", { startTime: LATER }).end(EARLIER);
      expect(only(ended)).toMatchObject({ startTime: LATER, endTime: LATER });
    });

    test("a start later than the clock ends at its start", () => {
      const { tracer, ended } = record();
      tracer.startSpan("work", { startTime: LATER }).end();
      expect(only(ended).endTime).toEqual(LATER);
    });
  });

  describe("the end", () => {
    test("happens exactly once, and the first call counts", () => {
      const { span, ended } = begin();
      span.end(LATER);
      span.end(EARLIER);
      span.end();
      expect(only(ended).endTime).toEqual(LATER);
    });

    test("happens once even if the processor ends the span again", () => {
      let ends = 0;
      const { tracer } = record({
        processor: {
          onStart: () => {},
          onEnd: () => {
            ends++;
            span.end();
          },
        },
      });
      const span = tracer.startSpan("work");
      span.end();
      expect(ends).toBe(1);
    });

    test("stops recording: no call changes the span any more", () => {
      const { span, recorded, diagnostics } = begin();
      expect(span.isRecording).toBe(true);
      span.end();
      expect(span.isRecording).toBe(false);
      const before = structuredClone({ ...recorded });
      span.setAttribute("a", 1);
      span.setAttributes({ b: 2 });
      span.addEvent("event");
      span.addLink({ context: OTHER });
      span.setStatus(StatusCode.ERROR, "late");
      span.recordException(new Error("late"));
      span.updateName("late");
      expect({ ...recorded }).toEqual(before);
      expect(diagnostics).toEqual([]);
    });

    test("leaves the context as it was, for children that start later", () => {
      const { tracer, span, started } = begin();
      const context = { ...span.context };
      span.end();
      tracer.startSpan("child", { parent: span });
      expect(span.context).toEqual(context);
      expect(started[1]?.parent).toEqual(context);
    });
  });

  describe("R23 status", () => {
    const { UNSET, OK, ERROR } = StatusCode;

    test.each<[string, [StatusCode, string?][], StatusCode, string]>([
      ["is unset by itself", [], UNSET, ""],
      ["ok", [[OK]], OK, ""],
      ["error, with its description", [[ERROR, "timeout"]], ERROR, "timeout"],
      ["error, without one", [[ERROR]], ERROR, ""],
      [
        "a later error counts",
        [
          [ERROR, "one"],
          [ERROR, "two"],
        ],
        ERROR,
        "two",
      ],
      ["a later error without description has none", [[ERROR, "one"], [ERROR]], ERROR, ""],
      ["ok beats error, and its description goes", [[ERROR, "timeout"], [OK]], OK, ""],
      ["ok is final", [[OK], [ERROR, "timeout"]], OK, ""],
      ["unset changes nothing", [[ERROR, "timeout"], [UNSET]], ERROR, "timeout"],
      ["unset after ok changes nothing", [[OK], [UNSET]], OK, ""],
      ["only an error has a description", [[OK, "fine"]], OK, ""],
      ["unset has no description", [[UNSET, "fine"]], UNSET, ""],
    ])("%s", (_name, calls, statusCode, statusMessage) => {
      const { span, recorded } = begin();
      for (const [code, message] of calls) span.setStatus(code, message);
      expect(recorded).toMatchObject({ statusCode, statusMessage });
    });

    test.each([[3], [-1], ["ERROR"], [undefined], [null], [1.5]])("%o is no status", (code) => {
      const { span, recorded } = begin();
      span.setStatus(untyped(code), "message");
      expect(recorded).toMatchObject({ statusCode: UNSET, statusMessage: "" });
    });
  });

  describe("R24 exceptions", () => {
    const error = new TypeError("what the patient said");

    test("are events named exception, without their text", () => {
      const { span, recorded } = begin();
      span.recordException(error, EARLIER);
      const event = only(recorded.events);
      expect(event.name).toBe("exception");
      expect(event.time).toEqual(EARLIER);
      expect(attributesToObject(event.attributes)).toEqual({
        "exception.type": "TypeError",
        "exception.stacktrace": expect.stringMatching(/span\.test/),
      });
      expect(JSON.stringify(event)).not.toContain(error.message);
    });

    test("have type, message and stack trace where content is captured", () => {
      const { span, recorded } = begin({ captureContent: true });
      span.recordException(error);
      expect(attributesToObject(only(recorded.events).attributes)).toEqual({
        "exception.type": "TypeError",
        "exception.message": error.message,
        "exception.stacktrace": error.stack,
      });
    });

    test("do not set the status", () => {
      const { span, recorded } = begin();
      span.recordException(error);
      expect(recorded.statusCode).toBe(StatusCode.UNSET);
    });

    test("pass the redactor", () => {
      const redact = (_key: string, value: string) => value.replaceAll("patient", "***");
      const { span, recorded } = begin({ captureContent: true, redact });
      span.recordException(error);
      expect(JSON.stringify(only(recorded.events).attributes)).not.toContain("patient");
    });
  });

  describe("R20 limits", () => {
    /** Does everything three times over, and ends. */
    function overfill(limits: Partial<SpanLimits>) {
      const { span, ended, diagnostics } = begin({ limits });
      for (const i of [1, 2, 3]) {
        span.setAttribute(`key ${i}`, "long value");
        span.addEvent("event", { a: 1, b: 2, c: 3 });
        span.addLink({ context: OTHER, attributes: { a: 1, b: 2, c: 3 } });
      }
      span.end();
      return { recorded: only(ended), diagnostics };
    }

    test("each keeps the first items and counts the others, and one diagnostic reports all", () => {
      const { recorded, diagnostics } = overfill({
        attributes: 2,
        events: 1,
        links: 2,
        attributesPerEvent: 1,
        attributesPerLink: 2,
      });
      expect(attributesToObject(recorded.attributes)).toEqual({ "key 1": "long value", "key 2": "long value" });
      expect(recorded.events).toMatchObject([{ attributes: ["a", 1], droppedAttributes: 2 }]);
      const link = { attributes: ["a", 1, "b", 2], droppedAttributes: 1 };
      expect(recorded.links).toMatchObject([link, link]);
      expect(recorded).toMatchObject({ droppedAttributes: 1, droppedEvents: 2, droppedLinks: 1 });
      expect(diagnostics).toEqual([
        { type: "span_limits", span: "work", droppedAttributes: 1 + 2 + 2, droppedEvents: 2, droppedLinks: 1 },
      ]);
    });

    test("one is enough for the diagnostic, even of an event or a link", () => {
      const of = (limits: Partial<SpanLimits>) => overfill(limits).diagnostics;
      const none = { type: "span_limits", span: "work", droppedAttributes: 0, droppedEvents: 0, droppedLinks: 0 };
      expect(of({ attributes: 2 })).toEqual([{ ...none, droppedAttributes: 1 }]);
      expect(of({ events: 2 })).toEqual([{ ...none, droppedEvents: 1 }]);
      expect(of({ links: 2 })).toEqual([{ ...none, droppedLinks: 1 }]);
      expect(of({ attributesPerEvent: 2 })).toEqual([{ ...none, droppedAttributes: 3 }]);
      expect(of({ attributesPerLink: 2 })).toEqual([{ ...none, droppedAttributes: 3 }]);
      expect(of({})).toEqual([]);
    });

    test("a truncated value is no dropped attribute", () => {
      const { recorded, diagnostics } = overfill({ attributeValueLength: 4 });
      expect(recorded.attributes[1]).toBe("long");
      expect(diagnostics).toEqual([]);
    });

    test("are 128 each by default", () => {
      const { span, ended } = begin();
      const many = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`key ${i}`, i]));
      span.setAttributes(many);
      for (let i = 0; i < 130; i++) {
        span.addEvent("event", i === 0 ? many : {});
        span.addLink({ context: OTHER, attributes: i === 0 ? many : {} });
      }
      span.end();
      const recorded = only(ended);
      expect(recorded.attributes).toHaveLength(256);
      expect(recorded.events).toHaveLength(128);
      expect(recorded.links).toHaveLength(128);
      expect(recorded.events[0]?.attributes).toHaveLength(256);
      expect(recorded.links[0]?.attributes).toHaveLength(256);
      expect(recorded).toMatchObject({ droppedAttributes: 2, droppedEvents: 2, droppedLinks: 2 });
    });

    test("apply to a span's initial data", () => {
      const { tracer, started } = record({ limits: { attributes: 1, links: 1 } });
      const link = { context: OTHER };
      tracer.startSpan("work", { attributes: { a: 1, b: 2 }, links: [link, link] });
      expect(only(started)).toMatchObject({ attributes: ["a", 1], droppedAttributes: 1, droppedLinks: 1 });
    });
  });

  test("an event whose attribute records another event while it is read", () => {
    const { tracer, ended } = record();
    const span = tracer.startSpan("work");
    const attributes = {
      a: 1,
      get b() {
        span.addEvent("inner", { c: 3 });
        return 2;
      },
    };
    span.addEvent("outer", attributes);
    span.addEvent("last", { d: 4 });
    span.end();
    const [{ events = [] } = {}] = ended;
    expect(events.map(({ name, attributes: list }) => [name, ...list])).toEqual([
      ["inner", "c", 3],
      ["outer", "a", 1, "b", 2],
      ["last", "d", 4],
    ]);
  });

  describe("callers without types", () => {
    test.each([
      [42, "42"],
      [null, "null"],
      [undefined, "undefined"],
      [Symbol("s"), "Symbol(s)"],
      [{ toString: fail }, ""],
    ])("the name %o becomes the text %o", (name, text) => {
      const { tracer, ended } = record();
      const span = tracer.startSpan(untyped<string>(name));
      span.addEvent(untyped(name));
      span.end();
      const renamed = tracer.startSpan("work");
      renamed.updateName(untyped(name));
      renamed.setStatus(StatusCode.ERROR, untyped<string>(name ?? `${name}`));
      renamed.end();
      expect(ended).toMatchObject([
        { name: text, events: [{ name: text }] },
        { name: text, statusMessage: text },
      ]);
    });

    test.each([
      ["nothing", undefined],
      ["null", null],
      ["no context", {}],
      ["text", { context: "text" }],
      ["a context that is none", { context: INVALID_CONTEXT }],
      ["upper-case ids", { context: { ...OTHER, traceId: OTHER.traceId.toUpperCase() } }],
      ["a quote in an id", { context: { ...OTHER, spanId: `"${OTHER.spanId.slice(1)}` } }],
      ["ids in arrays", { context: { ...OTHER, spanId: [OTHER.spanId] } }],
    ])("a link to %s is dropped and counted", (_name, link) => {
      const { span, ended, diagnostics } = begin();
      span.addLink(untyped(link));
      span.end();
      expect(only(ended)).toMatchObject({ links: [], droppedLinks: 1 });
      expect(diagnostics).toMatchObject([{ droppedLinks: 1 }]);
    });

    test("a link keeps the valid fields of its context", () => {
      const { span, recorded } = begin();
      const { traceId, spanId } = OTHER;
      span.addLink({ context: untyped({ traceId, spanId }) });
      span.addLink({ context: untyped({ ...OTHER, traceFlags: 0xff, traceState: "a=1\r\nx: y", isRemote: 1 }) });
      const clean = { traceId, spanId, traceState: "", isRemote: false };
      expect(recorded.links.map((link) => link.context)).toEqual([
        { ...clean, traceFlags: 0 },
        { ...clean, traceFlags: 3 },
      ]);
    });

    test("attributes and exceptions that throw when they are read are dropped alone", () => {
      const { span, ended } = begin();
      const hostile = Object.defineProperty({ a: 1 }, "b", { get: fail, enumerable: true });
      span.setAttributes(hostile);
      span.addEvent("event", hostile);
      span.addLink({ context: OTHER, attributes: hostile });
      span.recordException(Object.defineProperty(new Error("x"), "message", { get: fail }));
      span.setAttributes(untyped(null));
      span.end();
      expect(only(ended)).toMatchObject({
        attributes: ["a", 1],
        droppedAttributes: 1,
        events: [{ attributes: ["a", 1], droppedAttributes: 1 }, { name: "exception" }],
        links: [{ attributes: ["a", 1], droppedAttributes: 1 }],
      });
    });
  });

  describe("callbacks of the owner may throw", () => {
    const reported = { type: "callback_error", error: expect.any(Error) };

    /** A whole life of a span. */
    function live(options: Partial<TracerOptions>) {
      const recorder = record(options);
      const span = recorder.tracer.startSpan("work", { attributes: { a: "text" } });
      span.addEvent("event", { a: "text" });
      span.end();
      return recorder;
    }

    test("a processor: the span continues, and each error is reported", () => {
      const { diagnostics } = live({ processor: { onStart: fail, onEnd: fail } });
      expect(diagnostics).toEqual([reported, reported]);
    });

    test("a redactor: an unredacted value is not stored", () => {
      const { ended, diagnostics } = live({ redact: fail });
      expect(only(ended)).toMatchObject({ attributes: ["a", ""], events: [{ attributes: ["a", ""] }] });
      expect(diagnostics).toEqual([reported, reported]);
    });

    test("a redactor that returns no text: only text is stored", () => {
      const { ended } = live({ redact: untyped(() => ({ toJSON: fail })) });
      expect(only(ended)).toMatchObject({ attributes: ["a", "[object Object]"] });
    });

    test("a clock: the wall clock is used instead", () => {
      const { ended, diagnostics } = live({ clock: fail });
      const { startTime, endTime } = only(ended);
      expect(Math.abs(startTime.seconds - Date.now() / 1000)).toBeLessThan(60);
      expect(endTime?.seconds).toBeGreaterThanOrEqual(startTime.seconds);
      expect(diagnostics).toEqual([reported, reported, reported]);
    });

    test("an id generator: nothing is recorded", () => {
      const { started, diagnostics } = live({ ids: { traceId: fail, spanId: fail } });
      expect(started).toEqual([]);
      expect(diagnostics).toEqual([reported]);
    });

    test("onDiagnostic: the error is ignored", () => {
      const { ended } = live({ onDiagnostic: fail, redact: fail, limits: { attributes: 0 } });
      expect(only(ended).droppedAttributes).toBe(1);
    });
  });
});

test("on a frozen clock all times are equal", () => {
  const { tracer, ended } = createRecorder({ clock: () => FROZEN });
  const span = tracer.startSpan("work");
  span.addEvent("event");
  span.end();
  expect(only(ended)).toMatchObject({ startTime: FROZEN, events: [{ time: FROZEN }], endTime: FROZEN });
});
