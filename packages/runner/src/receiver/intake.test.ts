/** What becomes of the spans that programs of a command send. */

import { create } from "@bufbuild/protobuf";
import { ATTRIBUTES } from "@valet/shared/spans";
import { expect, test } from "vitest";
import { CONTEXT, NOW, requestOf, START, setUpIntake, TOOL, TRACE } from "../../test/foreign-spans.ts";
import { CONTENT_KEYS, cleanAttributes } from "./clean-values.ts";
import { AnyValueSchema, KeyValueListSchema, KeyValueSchema } from "./proto/opentelemetry/proto/common/v1/common_pb.js";

const FOREIGN = "1".repeat(32);
const OTHER_TOOL = "c".repeat(16);
const [ROOT, CHILD, THIRD] = ["2".repeat(16), "3".repeat(16), "4".repeat(16)];
const SECOND = 1_000_000_000n;

test("a program that took up the context keeps its parents", () => {
  const { take, taken } = setUpIntake();
  expect(
    take([
      { traceId: TRACE, spanId: ROOT, parentSpanId: TOOL },
      { traceId: TRACE, spanId: CHILD, parentSpanId: ROOT },
    ]),
  ).toBeUndefined();
  expect(taken()).toMatchObject([
    { traceId: TRACE, spanId: ROOT, parentSpanId: TOOL, flags: 0x301 },
    { traceId: TRACE, spanId: CHILD, parentSpanId: ROOT, flags: 0x101 },
  ]);
  expect(JSON.stringify(taken())).not.toContain("valet.adopted.trace_id");
});

test("a foreign trace is adopted whole, also if its root comes last; a span whose parent never comes is no root", () => {
  const { take, taken } = setUpIntake();
  take([
    { traceId: FOREIGN, spanId: CHILD, parentSpanId: ROOT, links: [{ traceId: FOREIGN, spanId: THIRD }] },
    { traceId: FOREIGN, spanId: THIRD, parentSpanId: "9".repeat(16), flags: 0x300 },
  ]);
  take([{ traceId: FOREIGN, spanId: ROOT, links: [{ traceId: "5".repeat(32), spanId: THIRD }] }]);
  const adoptedFrom = (traceId: string) => ({ key: "valet.adopted.trace_id", value: { stringValue: traceId } });
  expect(taken()).toMatchObject([
    { traceId: TRACE, parentSpanId: ROOT, links: [{ traceId: TRACE, spanId: THIRD }] },
    { traceId: TRACE, parentSpanId: "9".repeat(16), attributes: expect.arrayContaining([adoptedFrom(FOREIGN)]) },
    {
      traceId: TRACE,
      parentSpanId: TOOL,
      flags: 0x301,
      attributes: expect.arrayContaining([adoptedFrom(FOREIGN)]),
      links: [{ traceId: TRACE, attributes: [adoptedFrom("5".repeat(32))] }],
    },
  ]);
  expect(JSON.stringify(taken()[0]?.attributes)).not.toContain("adopted");
});

test("what outlives the call is a trace of its own that links to it", () => {
  const { calls, take, taken } = setUpIntake();
  calls.end(TOOL, START + SECOND);
  const late = START + 5n * SECOND;
  take([
    { traceId: FOREIGN, spanId: CHILD, parentSpanId: ROOT, startNs: late },
    { traceId: FOREIGN, spanId: ROOT, startNs: late },
    { traceId: TRACE, spanId: THIRD, parentSpanId: TOOL, startNs: late },
    { traceId: TRACE, spanId: "5".repeat(16), parentSpanId: THIRD, startNs: late },
    // It ended within the call, and only arrives late.
    { traceId: FOREIGN, spanId: "6".repeat(16) },
  ]);
  const [child, root, joined, below, early] = taken();
  expect(root?.traceId).not.toBe(TRACE);
  expect(child).toMatchObject({ traceId: root?.traceId, parentSpanId: ROOT });
  const cause = {
    traceId: TRACE,
    spanId: TOOL,
    attributes: [{ key: "valet.link.type", value: { stringValue: "caused_by" } }],
  };
  for (const span of [root, joined]) {
    expect(span?.parentSpanId).toBeUndefined();
    expect(span?.links).toMatchObject([cause]);
  }
  expect(joined?.traceId).not.toBe(TRACE);
  expect(below).toMatchObject({ traceId: joined?.traceId, parentSpanId: THIRD });
  expect(early).toMatchObject({ traceId: TRACE, parentSpanId: TOOL });
});

test("a server that an earlier command started works below the later command that calls it", () => {
  const { calls, take, taken } = setUpIntake();
  calls.end(TOOL, START + SECOND);
  calls.begin({ ...CONTEXT, spanId: OTHER_TOOL }, START + 2n * SECOND);
  take([{ traceId: TRACE, spanId: ROOT, parentSpanId: OTHER_TOOL, startNs: START + 3n * SECOND }]);
  expect(taken()).toMatchObject([{ traceId: TRACE, parentSpanId: OTHER_TOOL }]);
  expect(taken()[0]?.links).toBeUndefined();
});

test("so does what is below the server's span, also if it comes first; an earlier turn may have started the server", () => {
  const { calls, intake, take, taken } = setUpIntake();
  const [server] = calls.ofTrace(TRACE);
  const earlier = { ...CONTEXT, traceId: "d".repeat(32), spanId: "d".repeat(16) };
  calls.begin(earlier, START);
  for (const id of [TOOL, earlier.spanId]) calls.end(id, START + SECOND);
  const later = { ...CONTEXT, spanId: OTHER_TOOL };
  calls.begin(later, START + 2n * SECOND);
  const startNs = START + 3n * SECOND;
  const spans = (first: string, second: string) => [
    { traceId: TRACE, spanId: second, parentSpanId: first, startNs },
    { traceId: TRACE, spanId: first, parentSpanId: OTHER_TOOL, startNs },
  ];
  take(spans(ROOT, CHILD));
  const [other] = calls.ofTrace(earlier.traceId);
  // Whose parent is a span of the client, which is still to come.
  intake.take(requestOf([{ traceId: TRACE, spanId: THIRD, parentSpanId: "7".repeat(16), startNs }]), other!);
  expect(server?.endNs).toBeDefined();
  expect(taken()).toMatchObject([
    { traceId: TRACE, parentSpanId: ROOT },
    { traceId: TRACE, parentSpanId: OTHER_TOOL },
    { traceId: TRACE, parentSpanId: "7".repeat(16) },
  ]);
});

test("a process that outlives its call stays together while other calls of the trace run, in whatever order its spans come", () => {
  const late = START + 5n * SECOND;
  const spans = [
    { traceId: TRACE, spanId: ROOT, parentSpanId: TOOL, startNs: late },
    { traceId: TRACE, spanId: CHILD, parentSpanId: ROOT, startNs: late + SECOND },
    { traceId: TRACE, spanId: THIRD, parentSpanId: CHILD, startNs: late + 2n * SECOND },
  ];
  const orders = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  // The other call begins before, or between two of them.
  for (const order of orders) {
    for (const beginAt of [0, 1, 2, 3]) {
      const { calls, take, taken } = setUpIntake();
      calls.end(TOOL, START + SECOND);
      order.forEach((index, place) => {
        if (place === beginAt) calls.begin({ ...CONTEXT, spanId: OTHER_TOOL }, START + 2n * SECOND);
        take([spans[index]!]);
      });
      const own = new Map(taken().map((span) => [span.spanId, span]));
      const traceIds = new Set(taken().map(({ traceId }) => traceId));
      expect([traceIds.size, traceIds.has(TRACE)]).toEqual([1, false]);
      expect(own.get(ROOT)).toMatchObject({ links: [{ traceId: TRACE, spanId: TOOL }] });
      expect([ROOT, CHILD, THIRD].map((id) => own.get(id)?.parentSpanId)).toEqual([undefined, ROOT, CHILD]);
    }
  }
});

test("no span takes the id of another one, or lies outside its call's time", () => {
  const { ownIds, take, taken } = setUpIntake();
  ownIds.add(THIRD);
  take([{ traceId: FOREIGN, spanId: ROOT }]);
  const rejected = take([
    { traceId: FOREIGN, spanId: TOOL },
    { traceId: TRACE, spanId: THIRD, parentSpanId: TOOL },
    { traceId: "5".repeat(32), spanId: ROOT },
    { traceId: FOREIGN, spanId: "0".repeat(16) },
    { traceId: "0".repeat(32), spanId: CHILD },
    { traceId: FOREIGN, spanId: CHILD, parentSpanId: CHILD },
    { traceId: FOREIGN, spanId: CHILD, startNs: START - 2n * SECOND },
    { traceId: FOREIGN, spanId: CHILD, startNs: NOW + 2n * SECOND },
  ]);
  expect(rejected).toMatchObject({ spans: 8 });
  expect(rejected?.message).toBe(
    "Valet rejected 8 spans. 3: another span has its id; 3: its trace id, span id or parent id is invalid; " +
      "2: its times do not lie between the start of the call and now.",
  );
  expect(taken()).toHaveLength(1);
});

test("a repeated batch changes nothing, and nothing is rejected", () => {
  const { take, taken } = setUpIntake();
  const spans = [{ traceId: FOREIGN, spanId: ROOT }];
  expect([take(spans), take(spans)]).toEqual([undefined, undefined]);
  expect(taken()).toHaveLength(1);
});

test("a call sends a bounded number of spans", () => {
  const { take, taken } = setUpIntake({ maxSpans: 1 });
  expect(
    take([
      { traceId: FOREIGN, spanId: ROOT },
      { traceId: FOREIGN, spanId: CHILD },
    ]),
  ).toEqual({
    spans: 1,
    message: "Valet rejected 1 span. 1: its call has sent as many spans as it may.",
  });
  expect(taken()).toHaveLength(1);
});

test("a program can neither pose as Valet nor pass on secrets or content", () => {
  const { intake, calls, adopted, taken } = setUpIntake();
  const attributes = {
    "valet.outcome": "error",
    "valet.session.id": "ses_other",
    "exception.message": "content",
    "db.statement": "SELECT 'hunter2secret'",
    "url.full": "https://user:pass@host/x?token=1",
    long: "x".repeat(10_000),
  };
  const span = { traceId: FOREIGN, spanId: ROOT, name: "valet.turn", attributes };
  const [call] = calls.ofTrace(TRACE);
  intake.take(requestOf([span], { "service.name": "valet-worker", "valet.session.id": "ses_other" }), call!);
  const [received] = taken();
  expect(received?.name).toBe("foreign valet.turn");
  const values = Object.fromEntries(
    (received?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]),
  );
  expect(values).toEqual({
    "valet.session.id": "ses_1",
    "session.id": "ses_1",
    "gen_ai.conversation.id": "ses_1",
    "valet.generation": "2",
    "valet.adopted.trace_id": FOREIGN,
    "db.statement": "SELECT 'REDACTED'",
    "url.full": "https://host/x",
    long: "x".repeat(4096),
  });
  expect(JSON.parse(adopted[0]!.resource)).toEqual({
    attributes: [
      { key: "service.name", value: { stringValue: "unknown_service" } },
      { key: "valet.adopted", value: { boolValue: true } },
    ],
  });
});

test.each<[string, string, string]>([
  ["a secret that the limit would cut", "note", `${"x".repeat(4090)}hunter2secret`],
  ["a secret with letters beyond ASCII", "note", "a pässword-of-mine"],
  ["the password in a URL", "note", "fetch https://user:pass@host/x?token=1"],
  ["the value of a key that names a secret", "http.request.header.authorization", "Basic dXNlcjpwYXNz"],
])("bytes are no way out for %s", (_what, key, text) => {
  const redact = (each: string) => each.replaceAll(/hunter2secret|pässword-of-mine/g, "REDACTED");
  const { take, taken } = setUpIntake({ redact });
  take([{ traceId: FOREIGN, spanId: ROOT, attributes: { [key]: Buffer.from(text), plain: Buffer.from([0, 255]) } }]);
  const values = Object.fromEntries((taken()[0]?.attributes ?? []).map((each) => [each.key, each.value]));
  expect(values[key]).toEqual({ bytesValue: "" });
  expect(values.plain).toEqual({ bytesValue: "AP8=" });
});

test.each([
  "gen_ai.prompt.0.content",
  "gen_ai.completion.0.tool_calls.0.arguments",
  "llm.input_messages.0.message.content",
  "llm.output_messages.0.message.content",
  "llm.prompts.0",
  "input.value",
  "output.value",
  "tool.parameters",
  "traceloop.entity.input",
  "ai.prompt.messages",
  "ai.response.text",
  "ai.toolCall.args",
])("%s is content, and left out", (key) => {
  const { take, taken } = setUpIntake();
  take([{ traceId: FOREIGN, spanId: ROOT, attributes: { [key]: "what was said", "ai.model.id": "m" } }]);
  expect(JSON.stringify(taken())).not.toContain("what was said");
  expect(taken()[0]?.attributes).toContainEqual({ key: "ai.model.id", value: { stringValue: "m" } });
});

test("what is in a map is cleaned by its own key, and by that of the map if this names a secret", () => {
  const text = (value: string) => create(AnyValueSchema, { value: { case: "stringValue", value } });
  const map = (values: Readonly<Record<string, string>>) =>
    create(AnyValueSchema, {
      value: {
        case: "kvlistValue",
        value: create(KeyValueListSchema, {
          values: Object.entries(values).map(([key, value]) => create(KeyValueSchema, { key, value: text(value) })),
        }),
      },
    });
  const list = [
    create(KeyValueSchema, { key: "call", value: map({ "gen_ai.prompt.0.content": "said", password: "pw", n: "1" }) }),
    create(KeyValueSchema, { key: "credentials", value: map({ user: "me" }) }),
  ];
  const limits = { attributes: 10, attributeValueLength: 100 };
  expect(cleanAttributes(list, limits, { redact: (each) => each, captureContent: false }).attributes).toEqual([
    {
      key: "call",
      value: {
        kvlistValue: {
          values: [
            { key: "password", value: { stringValue: "REDACTED" } },
            { key: "n", value: { stringValue: "1" } },
          ],
        },
      },
    },
    {
      key: "credentials",
      value: { kvlistValue: { values: [{ key: "user", value: { stringValue: "REDACTED" } }] } },
    },
  ]);
});

test("the receiver knows every key of the catalogue that holds content", () => {
  const keys = Object.entries(ATTRIBUTES).flatMap(([key, definition]) => ("content" in definition ? [key] : []));
  expect(keys.filter((key) => !CONTENT_KEYS.has(key))).toEqual([]);
});
