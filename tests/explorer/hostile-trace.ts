/**
 * A trace as only a faulty or hostile sandbox would send it, and one that it waited for, as the API answers them. A page is given them
 * in place of the traces of its session: no runner of a running system sends cycles.
 */
import type { Page } from "playwright-core";
import { encodeSkeleton, type SkeletonSpan } from "../../packages/shared/src/protocol/skeleton-codec.ts";

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

function otlpOf(spans: readonly Drawn[]) {
  const value = (it: string | number) => (typeof it === "string" ? { stringValue: it } : { doubleValue: it });
  return {
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "valet-runner" } }] },
        scopeSpans: [
          {
            scope: { name: "valet" },
            spans: spans.map(({ spanId, name, startUs, endUs, attributes }) => ({
              spanId,
              name,
              startTimeUnixNano: `${startUs}000`,
              ...(endUs !== undefined && { endTimeUnixNano: `${endUs}000` }),
              attributes: Object.entries(attributes).map(([key, it]) => ({ key, value: value(it) })),
              events: name === "valet.turn" ? [{ name: "began", timeUnixNano: `${startUs}000`, attributes: [] }] : [],
            })),
          },
        ],
      },
    ],
  };
}

/** Answers a page's requests for the traces of its session with these. */
export async function serveHostileTraces(page: Page, beganMs = Date.now() - 100_000): Promise<void> {
  const { main, restore } = hostileTraces(beganMs);
  const traces = new Map([
    [TRACE, main],
    [RESTORE, restore],
  ]);
  const summary = (traceId: string, spans: readonly Drawn[]) => ({
    traceId,
    name: spans[0]?.name,
    startedAt: new Date(beganMs).toISOString(),
    duration_ms: 60_000,
    spans: spans.length,
    openSpans: spans.filter(({ endUs }) => endUs === undefined).length,
    errors: spans.filter(({ isError }) => isError).length,
  });
  await page.route(/\/api\/sessions\/[^/]+\/traces/, async (route) => {
    const url = new URL(route.request().url());
    const [, traceId = "", what = "", spanId = ""] =
      /\/traces(?:\/([^/]+))?(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const spans = traces.get(traceId);
    if (traceId === "") {
      const urlTemplate = "https://jaeger.example/trace/{traceId}";
      return route.fulfill({ json: { traces: [...traces].map(([id, all]) => summary(id, all)), urlTemplate } });
    }
    if (spans === undefined)
      return route.fulfill({
        status: 404,
        json: { type: "urn:valet:problem:trace-not-found", title: "no such trace" },
      });
    if (what === "skeleton") {
      return route.fulfill({ json: { chunks: [encodeSkeleton(spans)], next: "1", isComplete: true } });
    }
    if (what === "backlinks") {
      const backlinks = [...traces].flatMap(([from, all]) =>
        all.flatMap(({ spanId: id, name, startUs, links }) =>
          links.flatMap((link) => {
            const startedAt = new Date(startUs / 1000).toISOString();
            const type = link.type === undefined ? {} : { type: link.type };
            const one = { traceId: from, spanId: id, name, startedAt, targetSpanId: link.spanId, ...type };
            return link.traceId === traceId ? [one] : [];
          }),
        ),
      );
      return route.fulfill({ json: { backlinks } });
    }
    if (what === "search") {
      const wanted = (url.searchParams.get("q") ?? "").toLowerCase();
      const found = spans.filter(({ name, attributes }) =>
        [name, ...Object.entries(attributes).map((pair) => pair.join("="))].some((text) =>
          text.toLowerCase().includes(wanted),
        ),
      );
      return route.fulfill({ json: { spanIds: found.map((one) => one.spanId) } });
    }
    return route.fulfill({ json: otlpOf(what === "spans" ? spans.filter((one) => one.spanId === spanId) : spans) });
  });
}
