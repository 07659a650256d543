import { parseOpenSpan, Tracer } from "@valet/shared/tracing";
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
    for (const ms of [400, 500, 600]) spans.heard(spanId, ms);
    expect(spans.dueInMs()).toBe(5_000);
    at(5_300);
    expect(parseOpenSpan(spans.take()[0]?.text ?? "")?.attributes).toEqual(["valet.last_heard_ms", 600]);
    expect(spans.dueInMs()).toBeUndefined();
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
          else if (what === "heard" && span !== undefined) spans.heard(span.context.spanId, now);
          else if (what === "end") {
            span?.end();
            open.delete(index);
          } else for (const name of names(spans.take())) expect([...open.keys()]).toContain(Number(name));
        }
      }),
    );
  });
});
