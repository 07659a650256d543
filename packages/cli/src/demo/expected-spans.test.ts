import { describe, expect, test } from "vitest";
import type { TraceSpan } from "../trace-tree.ts";
import { DEMO_TOOLS, DEMO_TRACES, findFaults } from "./expected-spans.ts";

function span(name: string, change: Partial<TraceSpan> = {}): TraceSpan {
  const span = { traceId: "t", spanId: name, parentSpanId: undefined, name, service: "s", startMs: 0, endMs: 10 };
  return { ...span, attributes: {}, links: [], isError: false, ...change };
}

/** Returns the traces of a demo without faults. */
function wholeCourse(): TraceSpan[][] {
  const traces = DEMO_TRACES.flatMap(({ operation, count, spans }) =>
    Array.from({ length: count }, () => [operation, ...spans].map((name) => span(name.replace("*", "x")))),
  );
  return [...traces, DEMO_TOOLS.map((name) => span(name))];
}

describe("faults", () => {
  test("are none when every span is there", () => {
    expect(findFaults(wholeCourse())).toEqual([]);
  });

  test.each(DEMO_TRACES.flatMap(({ operation, spans }) => spans.map((name) => [operation, name] as const)))(
    "are reported when a trace with %s has no %s",
    (operation, name) => {
      const course = wholeCourse();
      const trace = course.find((each) => each.some((span) => span.name === operation)) ?? [];
      trace.splice(
        trace.findIndex((each) => each.name === name.replace("*", "x")),
        1,
      );
      expect(findFaults(course)).toContain(`no ${name} in a trace with ${operation}`);
    },
  );

  test("are reported when a trace is missing", () => {
    expect(findFaults(wholeCourse().slice(1))).toContain("0 traces with valet.sandbox.spawn instead of 1");
  });

  test("are reported for open spans, errors, and waits without a duration", () => {
    const odd = [
      span("a", { endMs: undefined }),
      span("b", { isError: true }),
      span("chat x", { endMs: 0 }),
      span("c", { endMs: 0 }),
    ];
    expect(findFaults([...wholeCourse(), odd])).toEqual(["a is still open", "chat x took no time", "b is an error"]);
  });
});
