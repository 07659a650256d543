import { attributesToObject, parseOpenSpan, Tracer } from "@valet/shared/tracing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OpenSpans, type OpenSpanText } from "./open-spans.ts";

/** Creates open spans with a clock that the test controls. */
function setUp() {
  let nowMs = 0;
  const spans = new OpenSpans({ now: () => nowMs });
  const tracer = new Tracer({
    scope: { name: "test" },
    processor: { onStart: (span) => spans.begun(span), onEnd: ({ context }) => spans.ended(context.spanId) },
  });
  return { spans, begin: (name: string) => tracer.startSpan(name), at: (ms: number) => (nowMs = ms) };
}

const attributes = (spans: readonly OpenSpanText[]) =>
  attributesToObject([...(parseOpenSpan(spans[0]?.text ?? "")?.attributes ?? [])]);
const names = (spans: readonly OpenSpanText[]) => spans.map(({ text }) => parseOpenSpan(text)?.name);

describe("open spans", () => {
  test("are reported once they have been open for 250 ms, parents first, each once", () => {
    const { spans, begin, at } = setUp();
    expect(spans.dueInMs()).toBeUndefined();
    begin("valet.turn");
    at(100);
    begin("chat mock-1");
    begin("short").end();
    expect(spans.dueInMs()).toBe(150);
    expect(spans.take()).toEqual([]);
    at(250);
    expect(names(spans.take())).toEqual(["valet.turn"]);
    at(350);
    expect(names(spans.take())).toEqual(["chat mock-1"]);
    expect(spans.dueInMs()).toBeUndefined();
  });

  test("are reported with their current attributes", () => {
    const { spans, begin, at } = setUp();
    const span = begin("chat mock-1");
    span.setAttribute("gen_ai.request.model", "mock-1");
    at(300);
    expect(spans.take()[0]?.text).toContain("mock-1");
  });

  test("are reported again after progress, every 5 s at most", () => {
    const { spans, begin, at } = setUp();
    const { spanId } = begin("chat mock-1").context;
    at(300);
    spans.take();
    spans.heard(spanId, 320, "content");
    at(1_300);
    spans.take();
    for (const ms of [1_400, 1_500, 1_600]) spans.heard(spanId, ms, "content");
    expect(spans.dueInMs()).toBe(5_000);
    at(6_300);
    expect(parseOpenSpan(spans.take()[0]?.text ?? "")?.attributes).toEqual(["valet.last_heard_ms", 1_600]);
    expect(spans.dueInMs()).toBeUndefined();
  });

  test("are reported within a second if something is heard for the first time, each kind in an attribute of its own", () => {
    const { spans, begin, at } = setUp();
    const { spanId } = begin("chat mock-1").context;
    spans.heard(spanId, 40, "request");
    at(250);
    expect(attributes(spans.take())).toEqual({ "valet.llm.last_request_ms": 40 });
    spans.heard(spanId, 260, "byte");
    expect(spans.dueInMs()).toBe(1_000);
    at(1_250);
    expect(attributes(spans.take())).toEqual({ "valet.llm.last_request_ms": 40, "valet.llm.last_byte_ms": 260 });
    spans.heard(spanId, 1_300, "byte");
    expect(spans.dueInMs()).toBe(5_000);
    spans.heard(spanId, 1_400, "content");
    expect(spans.dueInMs()).toBe(1_000);
    at(2_250);
    expect(attributes(spans.take())).toEqual({
      "valet.llm.last_request_ms": 40,
      "valet.llm.last_byte_ms": 1_300,
      "valet.last_heard_ms": 1_400,
    });
  });

  test("are never reported after they have ended", () => {
    const step = fc.record({
      index: fc.nat(5),
      ms: fc.nat(400),
      what: fc.constantFrom("begin", "end", "heard", "take"),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { spans, begin, at } = setUp();
        const open = new Map<number, ReturnType<typeof begin>>();
        let now = 0;
        for (const { index, ms, what } of steps) {
          now += ms;
          at(now);
          const span = open.get(index);
          if (what === "begin" && span === undefined) open.set(index, begin(String(index)));
          else if (what === "heard" && span !== undefined) spans.heard(span.context.spanId, now, "content");
          else if (what === "end") {
            span?.end();
            open.delete(index);
          } else for (const name of names(spans.take())) expect([...open.keys()]).toContain(Number(name));
        }
      }),
    );
  });
});
