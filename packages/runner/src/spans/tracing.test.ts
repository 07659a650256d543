import { createHash } from "node:crypto";
import { isOwnTraceId } from "@valet/shared/protocol/own-trace-ids";
import { attributesToObject, parseTraceparent, type ReadableSpan, SpanKind } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { readSettings } from "../settings.ts";
import { createTracing } from "./tracing.ts";

function setUp() {
  const ended: ReadableSpan[] = [];
  const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => void ended.push(span) };
  const tracing = createTracing(processor, { sessionId: "ses_1", generation: 3 });
  const attributes = () => ended.map((span) => attributesToObject([...span.attributes]));
  return { tracing, ended, attributes };
}

const SESSION = {
  "valet.session.id": "ses_1",
  "session.id": "ses_1",
  "gen_ai.conversation.id": "ses_1",
  "valet.generation": 3,
};

test("every span has the session's attributes, also an unsampled one, which is recorded, too", () => {
  const { tracing, ended, attributes } = setUp();
  const tracer = tracing.configure({ enabled: true, captureContent: false });
  const parent = parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  tracer.startSpan("valet.turn", { kind: SpanKind.CONSUMER, parent }).end();
  tracing.base.startSpan("valet.runner.bootstrap").end();
  expect(attributes()).toEqual([SESSION, SESSION]);
  expect(ended.map(({ context }) => context.traceFlags & 1)).toEqual([0, 1]);
});

test("without tracing a parent's context is passed on, and no span is recorded", () => {
  const { tracing, ended } = setUp();
  const parent = parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  const span = tracing
    .configure({ enabled: false, captureContent: true })
    .startSpan("valet.runner.bootstrap", { parent });
  span.end();
  expect([span.context, ended]).toEqual([parent, []]);
});

test("lost spans are reported in a span that begins a separate trace", () => {
  const { tracing, ended, attributes } = setUp();
  tracing.reportDropped(
    new Map([
      ["queue_full", 5],
      ["too_large", 1],
    ]),
  );
  expect(ended[0]).toMatchObject({ name: "valet.trace_plane.dropped", parent: undefined });
  expect(attributes()).toEqual([
    { ...SESSION, "valet.dropped_spans.queue_full": 5, "valet.dropped_spans.too_large": 1 },
  ]);
});

test("a new trace has an id that belongs to the session and to no other", () => {
  const { tracing, ended } = setUp();
  for (let i = 0; i < 20; i++) tracing.base.startSpan("valet.runner.bootstrap").end();
  const ids = ended.map(({ context }) => context.traceId);
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  expect(new Set(ids).size).toBe(20);
  expect(ids.every((id) => isOwnTraceId(id, "ses_1", sha256))).toBe(true);
  expect(ids.some((id) => isOwnTraceId(id, "ses_2", sha256))).toBe(false);
});

test("spans respect the deployment's limits, also those of the bootstrap", () => {
  const ended: ReadableSpan[] = [];
  const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => void ended.push(span) };
  const variables = { OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "5", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "8" };
  const env = { VALET_SESSION_ID: "ses_1", VALET_GENERATION: "3", VALET_RUNNER_URL: "ws://h/runner/ses_1", HOME: "/h" };
  const tracing = createTracing(processor, readSettings({ ...env, ...variables }, "/w"));
  const tracers = [tracing.base, tracing.configure({ enabled: true, captureContent: false })];
  for (const tracer of tracers) {
    const attributes = { "valet.sandbox.id": "0123456789", "valet.runner.restart_count": 1 };
    tracer.startSpan("valet.runner.bootstrap", { attributes }).end();
  }
  for (const span of ended) {
    expect(span.droppedAttributes).toBe(1);
    expect(attributesToObject([...span.attributes])["valet.sandbox.id"]).toBe("01234567");
  }
  expect(ended).toHaveLength(2);
});
