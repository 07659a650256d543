import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildTrees, readSpans, renderTrees, type TraceNode, type TraceSpan } from "./trace-tree.ts";

function span(
  spanId: string,
  parentSpanId?: string,
  times: { startMs?: number; endMs?: number | undefined } = {},
): TraceSpan {
  return {
    traceId: "t",
    spanId,
    parentSpanId,
    name: spanId,
    service: "test",
    startMs: times.startMs ?? 0,
    endMs: "endMs" in times ? times.endMs : 100,
    attributes: {},
    links: [],
    isError: false,
  };
}

/** Returns the shape of trees: names, with children in brackets. */
function shape(nodes: readonly TraceNode[]): string {
  return nodes
    .map(({ span: { name }, children, isOrphan }) => {
      const below = children.length > 0 ? `(${shape(children)})` : "";
      return `${isOrphan ? "?" : ""}${name}${below}`;
    })
    .join(" ");
}

describe("trees", () => {
  test("children are below their parents, in order of time", () => {
    const spans = [span("late", "root", { startMs: 5 }), span("early", "root", { startMs: 1 }), span("root")];
    expect(shape(buildTrees(spans))).toBe("root(early late)");
  });

  test("a span whose parent is missing is marked", () => {
    expect(shape(buildTrees([span("root"), span("lost", "gone", { startMs: 1 })]))).toBe("root ?lost");
  });

  test("spans in a cycle, and a span that is its own parent, are shown", () => {
    const spans = [span("a", "b"), span("b", "a"), span("self", "self")];
    expect(shape(buildTrees(spans))).toBe("?a(b) ?self");
  });

  test("every span is in exactly one tree, whatever the parents are", () => {
    const id = fc.constantFrom("a", "b", "c", "d", "e");
    const arbitrary = fc.record({ id, parent: fc.option(fc.oneof(id, fc.constant("gone")), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 12 }), (all) => {
        const spans = all.map(({ id: spanId, parent }, i) => ({ ...span(spanId, parent), name: String(i) }));
        const names = shape(buildTrees(spans)).match(/\d+/g) ?? [];
        expect(names.map(Number).sort((a, b) => a - b)).toEqual(spans.map((_, i) => i));
      }),
    );
  });
});

describe("lines", () => {
  test("show start, duration, bar and tree", () => {
    const spans = [
      span("root", undefined, { startMs: 1000, endMs: 3000 }),
      {
        ...span("child", "root", { startMs: 2000, endMs: 3000 }),
        isError: true,
        attributes: { "error.type": "tool_failed" },
      },
      span("open", "root", { startMs: 2500, endMs: undefined }),
    ];
    expect(renderTrees(buildTrees(spans), 3000)).toEqual([
      "     +0 ms      2.0 s  ████████████████████████  root",
      "    +1.0 s      1.0 s  ············████████████  ├─ ✗ child  (tool_failed)",
      "    +1.5 s       open  ··················██████  └─ … open  open 0 s",
    ]);
  });

  test("of a runner whose clock is an hour off have ages by the Worker's clock", () => {
    for (const aheadMs of [-3_600_000, 3_600_000]) {
      const spans = [
        { ...span("job", undefined, { startMs: 1e12, endMs: undefined }), name: "valet.prompt" },
        {
          ...span("sent", "job", { startMs: 1e12, endMs: 1e12 + 9 }),
          name: "valet.prompt.dispatch",
          attributes: { "valet.outcome": "ok" },
        },
        ...[
          { ...span("turn", "sent", { startMs: 1e12 + aheadMs, endMs: undefined }), name: "valet.turn" },
          {
            ...span("chat", "turn", { startMs: 1e12 + 1000 + aheadMs, endMs: undefined }),
            name: "chat m",
            attributes: { "valet.last_heard_ms": 1e12 + 6000 + aheadMs, "valet.last_seen_ms": 1e12 + 9000 },
          },
        ].map((each) => ({ ...each, service: "valet-runner" })),
      ].map((each) => (each.service === "test" ? { ...each, service: "valet-worker" } : each));
      const lines = renderTrees(buildTrees(spans), 1e12 + 10_010, false, 0).map((line) => line.split("… ")[1]);
      const all = [
        "valet.prompt  open 10 s",
        undefined,
        "valet.turn  open 10 s",
        "chat m  open 9 s, last text 4 s ago",
      ];
      expect(lines).toEqual(all);
    }
  });

  test("show which try of a model call is which", () => {
    const attributes = { "valet.llm.attempt": 1, "valet.outcome": "error", "error.type": "provider_rate_limited" };
    const [line] = renderTrees(buildTrees([{ ...span("valet.llm.try", undefined), attributes }]), 3000);
    expect(line).toMatch(/\(try 1, error, provider_rate_limited\)$/);
  });

  test("show how long an open span has been open, and what was last received", () => {
    const open = (name: string, attributes: TraceSpan["attributes"] = {}) => ({
      ...span(name, undefined, { startMs: 10_000, endMs: undefined }),
      attributes,
    });
    const notes = (each: TraceSpan) => renderTrees(buildTrees([each]), 56_400)[0]?.split("… ")[1];
    expect(notes(open("chat mock-1"))).toBe("chat mock-1  open 46 s, no text yet");
    expect(notes(open("chat mock-1", { "valet.last_heard_ms": 50_000 }))).toBe(
      "chat mock-1  open 46 s, last text 6 s ago",
    );
    const requested = { "valet.llm.last_request_ms": 10_400 };
    expect(notes(open("chat mock-1", requested))).toBe("chat mock-1  open 46 s, no byte yet");
    expect(notes(open("chat mock-1", { ...requested, "valet.llm.last_byte_ms": 55_000 }))).toBe(
      "chat mock-1  open 46 s, no text yet, last byte 1 s ago",
    );
    const texted = { ...requested, "valet.last_heard_ms": 53_000 };
    expect(notes(open("chat mock-1", { ...texted, "valet.llm.last_byte_ms": 55_000 }))).toBe(
      "chat mock-1  open 46 s, last text 3 s ago",
    );
    // The provider goes on with comments.
    expect(
      notes(open("chat mock-1", { ...texted, "valet.last_heard_ms": 20_000, "valet.llm.last_byte_ms": 55_000 })),
    ).toBe("chat mock-1  open 46 s, last text 36 s ago, last byte 1 s ago");
    // Text and bytes of an earlier try.
    const retried = { "valet.last_heard_ms": 20_000, "valet.llm.last_byte_ms": 21_000 };
    expect(notes(open("chat mock-1", { ...retried, "valet.llm.last_request_ms": 25_000 }))).toBe(
      "chat mock-1  open 46 s, no byte yet",
    );
    expect(notes(open("execute_tool bash"))).toBe("execute_tool bash  open 46 s, no output yet");
    expect(notes(open("valet.turn", { "valet.last_seen_ms": 12_000 }))).toBe(
      "valet.turn  open 46 s, runner silent for 44 s",
    );
    expect(notes(open("valet.turn", { "valet.last_seen_ms": 50_000 }))).toBe("valet.turn  open 46 s");
    expect(notes(open("valet.queue.wait", { "valet.queue.reason": "runner_busy" }))).toBe(
      "valet.queue.wait  open 46 s  (waits for: runner_busy)",
    );
  });

  test("name the traces that a span links to", () => {
    const linked = { ...span("root"), links: [{ traceId: "abcdef0123456789", type: "caused_by" }] };
    expect(renderTrees(buildTrees([linked]), 0)[0]).toContain("(caused_by → abcdef01)");
  });
});

test("OTLP/JSON is read with times exact to the microsecond", () => {
  const otlp = {
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "valet-runner" } }] },
        scopeSpans: [
          {
            scope: { name: "x" },
            spans: [
              {
                traceId: "t",
                spanId: "s",
                name: "chat gpt",
                startTimeUnixNano: "1700000000123456789",
                attributes: [
                  { key: "n", value: { intValue: "7" } },
                  { key: "l", value: { arrayValue: { values: [{ stringValue: "a" }] } } },
                ],
                status: { code: 2 },
              },
            ],
          },
        ],
      },
    ],
  };
  expect(readSpans(otlp)).toMatchObject([
    {
      service: "valet-runner",
      startMs: 1_700_000_000_123.456,
      endMs: undefined,
      isError: true,
      attributes: { n: 7, l: ["a"] },
    },
  ]);
});

test.each([
  [{ "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 5 }, "1000 in, 5 out, $0.0010"],
  [{ "gen_ai.usage.input_tokens": 1000 }, "1000 in, at least $0.0010"],
  [{ "gen_ai.usage.output_tokens": 5 }, "5 out, at least $0.0010"],
  [
    { "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 5, "valet.llm.cost_partial": true },
    "1000 in, 5 out, at least $0.0010",
  ],
])("the cost of a model call whose usage or prices are half known is a lower bound: %j", (usage, shown) => {
  const attributes = { ...usage, "valet.llm.cost_usd": 0.001 };
  const lines = renderTrees(buildTrees([{ ...span("a"), name: "chat mock", attributes }]), 0);
  expect(lines[0]).toContain(`chat mock  (${shown})`);
});

test.each([
  ["provider_stream_cut", {}, "at least $0.0010"],
  // The provider had begun to answer.
  ["provider_overloaded", { "gen_ai.response.time_to_first_chunk": 0.5 }, "at least $0.0010"],
  ["provider_overloaded", {}, "$0.0010"],
])(
  "the cost of a model call with a try that ended with %s (%j) is %s, also where the try is not shown",
  (error, more, cost) => {
    const usage = { "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 5, "valet.llm.cost_usd": 0.001 };
    const chat = { ...span("a"), name: "chat mock", attributes: usage };
    const failed = { "valet.outcome": "error", "error.type": error, ...more };
    const tries = [failed, { "valet.outcome": "ok" }].map((attributes, index) => ({
      ...span(`${index}`, "a"),
      name: "valet.llm.try",
      attributes,
    }));
    const trees = buildTrees([chat, ...tries]);
    for (const shown of [trees, trees.map((tree) => ({ ...tree, children: [] }))]) {
      expect(renderTrees(shown, 0)[0]).toContain(`chat mock  (1000 in, 5 out, ${cost})`);
    }
  },
);

test("a chain of 50,000 spans, in a cycle or not, is shown whole", () => {
  for (const top of [undefined, "49999"]) {
    const spans = Array.from({ length: 50_000 }, (_each, index) =>
      span(`${index}`, index === 0 ? top : `${index - 1}`),
    );
    const trees = buildTrees(spans);
    expect(trees).toHaveLength(100);
    expect(renderTrees(trees.slice(0, 2), 0)).toHaveLength(1000);
  }
});
