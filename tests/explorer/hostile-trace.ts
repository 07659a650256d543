/**
 * A trace as only a faulty or hostile sandbox would send it, and one that it waited for, as span frames: no runner of Valet sends
 * cycles, and whoever holds a runner's token can.
 */
import type { SkeletonSpan } from "../../packages/shared/src/protocol/skeleton-codec.ts";
import {
  type AttributeValue,
  type OpenSpan,
  type SpanKind,
  serialiseSpan,
} from "../../packages/shared/src/tracing/index.ts";
import type { FrameSeed } from "./seeds.ts";

export const TRACE = "88d0ee36f2a94b0c9d1e7a335fb21005";
export const RESTORE = "ae869b05c1d24e7f8a90b1c2d3e4f506";

export const MARKUP = '<img src=x onerror="alert(1)">';
export const RIGHT_TO_LEFT = "\u202egnp.exe שלום";

type Attributes = Readonly<Record<string, string | number>>;
interface Drawn extends SkeletonSpan {
  readonly attributes: Attributes;
}

let ids = 0;

/** @param at and `lasted` in ms since the trace began; a span without `lasted` is open */
function span(name: string, at: number, lasted: number | undefined, more: Partial<Drawn> = {}): Drawn {
  ids++;
  const startUs = 1_000 * at;
  return {
    spanId: ids.toString(16).padStart(16, "0"),
    name,
    kind: 1,
    startUs,
    endUs: lasted === undefined ? undefined : startUs + 1_000 * lasted,
    outcome: lasted === undefined ? undefined : "ok",
    isError: false,
    isSealed: false,
    links: [],
    attributes: {},
    ...more,
  };
}

const LOST = { outcome: "lost", isError: true, isSealed: true } as const;

/** @param beganMs when the trace begins, epoch ms */
export function hostileTraces(beganMs: number): {
  readonly main: readonly Drawn[];
  readonly restore: readonly Drawn[];
} {
  ids = 0;
  const at = (spans: readonly Drawn[]) =>
    spans.map((one) => ({
      ...one,
      startUs: one.startUs + beganMs * 1_000,
      endUs: one.endUs === undefined ? undefined : one.endUs + beganMs * 1_000,
    }));
  const below = (parent: Drawn) => ({ parentSpanId: parent.spanId });
  const restore = span("valet.sandbox.restore", 2, 12_400, { attributes: { "valet.sandbox.id": "sbx_1" } });
  const create = span("valet.sandbox.create", 10, 7_900, below(restore));
  const copy = span("valet.sandbox.copy", 20, 7_800, below(create));
  const boot = span("valet.runner.bootstrap", 8_000, 4_400, below(restore));

  const post = span("POST /api/sessions/:id/messages", 0, 11, {
    kind: 2,
    attributes: { "http.response.status_code": 202 },
  });
  const prompt = span("valet.prompt", 5, undefined, { ...below(post), attributes: { "valet.message.id": "msg_1" } });
  const wait = span("valet.queue.wait", 6, 12_400, {
    ...below(prompt),
    attributes: { "valet.queue.reason": "sandbox_restoring" },
    links: [{ traceId: RESTORE, spanId: restore.spanId, type: "waited_on" }],
  });
  const first = span("valet.prompt.dispatch", 12_420, 20, {
    ...below(prompt),
    attributes: { "valet.dispatch.attempt": 1 },
  });
  const lostTurn = span("valet.turn", 12_440, 20_700, {
    ...below(first),
    ...LOST,
    attributes: { "error.type": "runner_lost", "valet.last_seen_ms": beganMs + 31_000 },
  });
  const lostTool = span("execute_tool bash", 17_000, 16_140, {
    ...below(lostTurn),
    ...LOST,
    attributes: {
      "error.type": "runner_lost",
      "valet.last_seen_ms": beganMs + 31_000,
      "gen_ai.tool.call.arguments": '{"command":"npm run build"}',
    },
  });
  const chat = span("chat claude-sonnet-4-5", 12_900, 4_000, {
    ...below(lostTurn),
    attributes: {
      "gen_ai.usage.input_tokens": 11_200,
      "gen_ai.usage.output_tokens": 214,
      "gen_ai.response.time_to_first_chunk": 1.2,
      "gen_ai.provider.name": "anthropic",
    },
  });
  const second = span("valet.prompt.dispatch", 41_000, 20, {
    ...below(prompt),
    attributes: { "valet.dispatch.attempt": 2 },
  });
  const turn = span("valet.turn", 41_020, undefined, below(second));
  const early = span("execute_tool read", 40_980, 140, { ...below(turn), attributes: { "gen_ai.tool.name": "read" } });
  const many = Array.from({ length: 120 }, (_, index) =>
    span("execute_tool grep", 41_200 + index * 90, 80, {
      ...below(turn),
      ...(index === 77 && { outcome: "error" as const, isError: true }),
      attributes: { "gen_ai.tool.call.id": `call_${index}`, ...(index === 77 && { "error.type": "tool_failed" }) },
    }),
  );
  const failed = span("chat claude-sonnet-4-5", 52_500, 1_100, {
    ...below(turn),
    outcome: "error",
    isError: true,
    attributes: { "error.type": "provider_overloaded" },
  });
  const retry = span("valet.retry.wait", 53_600, 4_800, below(turn));
  const asked = span("valet.permission.wait", 58_400, 3_000, below(turn));
  const open = span("chat claude-sonnet-4-5", 61_500, undefined, {
    ...below(turn),
    attributes: { "valet.llm.last_request_ms": beganMs + 61_500 },
  });
  const orphan = span(MARKUP, 45_000, 5_000, { parentSpanId: "dead00000000beef", attributes: { [MARKUP]: MARKUP } });
  const rtl = span(RIGHT_TO_LEFT, 46_000, 2_000, below(orphan));
  const long = span("long ".repeat(20_000), 46_500, 0, below(orphan));
  const circle = span("in a circle", 47_000, 1_000);
  const back = span("and back", 47_200, 500, below(circle));
  const own = span("its own parent", 48_000, 700);
  const selfLink = span("links to itself", 49_000, 700);
  const odd = [
    { ...circle, parentSpanId: back.spanId },
    back,
    { ...own, parentSpanId: own.spanId },
    { ...selfLink, links: [{ traceId: TRACE, spanId: selfLink.spanId, type: "follows" }] },
  ];
  const main = [
    post,
    prompt,
    wait,
    first,
    lostTurn,
    lostTool,
    chat,
    second,
    turn,
    early,
    ...many,
    failed,
    retry,
    asked,
    open,
  ];
  return { main: at([...main, orphan, rtl, long, ...odd]), restore: at([restore, create, copy, boot]) };
}

const SAMPLED = 1;
const STATUS_ERROR = 2;

function attributesOf(span: Drawn, sessionId: string): [string, string | number][] {
  const outcome: [string, string][] = span.outcome === undefined ? [] : [["valet.outcome", span.outcome]];
  return [["valet.session.id", sessionId], ...outcome, ...Object.entries(span.attributes)];
}

function otlpSpan(span: Drawn, traceId: string, sessionId: string) {
  const value = (it: string | number) => (typeof it === "string" ? { stringValue: it } : { doubleValue: it });
  return {
    traceId,
    spanId: span.spanId,
    ...(span.parentSpanId !== undefined && { parentSpanId: span.parentSpanId }),
    flags: SAMPLED,
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: `${span.startUs}000`,
    endTimeUnixNano: `${span.endUs}000`,
    attributes: attributesOf(span, sessionId).map(([key, it]) => ({ key, value: value(it) })),
    links: span.links.map((link) => ({
      traceId: link.traceId,
      spanId: link.spanId,
      attributes: [{ key: "valet.link.type", value: { stringValue: link.type } }],
    })),
    events: span.name === "valet.turn" ? [{ name: "began", timeUnixNano: `${span.startUs}000` }] : [],
    ...(span.isError && { status: { code: STATUS_ERROR } }),
  };
}

function openSpan(span: Drawn, traceId: string, sessionId: string): string {
  const context = (spanId: string) => ({ traceId, spanId, traceFlags: SAMPLED, traceState: "", isRemote: false });
  const open: OpenSpan = {
    context: context(span.spanId),
    parent: span.parentSpanId === undefined ? undefined : context(span.parentSpanId),
    name: span.name,
    kind: span.kind as SpanKind,
    startTime: { seconds: Math.floor(span.startUs / 1e6), nanos: (span.startUs % 1e6) * 1000 },
    attributes: attributesOf(span, sessionId).flat() as readonly (string | AttributeValue)[] as OpenSpan["attributes"],
    events: [],
    links: [],
    statusCode: 0,
    statusMessage: "",
    droppedAttributes: 0,
    droppedEvents: 0,
    droppedLinks: 0,
  };
  return serialiseSpan(open);
}

/** The most spans of a frame. */
const PER_FRAME = 200;

/** Returns the frames in which a runner of the session would have sent the spans. */
export function framesOf(spans: readonly Drawn[], traceId: string, sessionId: string): FrameSeed[] {
  const ended = spans.filter(({ endUs }) => endUs !== undefined);
  const open = spans.filter(({ endUs }) => endUs === undefined);
  const frames: FrameSeed[] = [];
  for (let from = 0; from < ended.length; from += PER_FRAME) {
    const some = ended.slice(from, from + PER_FRAME).map((span) => otlpSpan(span, traceId, sessionId));
    const resource = { attributes: [{ key: "service.name", value: { stringValue: "valet-runner" } }] };
    const otlp = { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "valet" }, spans: some }] }] };
    frames.push({ otlp: JSON.stringify(otlp), open: [] });
  }
  // After the ended ones, which make the trace one of the session's.
  frames.push({
    otlp: JSON.stringify({ resourceSpans: [] }),
    open: open.map((span) => openSpan(span, traceId, sessionId)),
  });
  return frames;
}
