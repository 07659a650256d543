// What the catalogue's types let through and what they stop. The stops are `@ts-expect-error` lines, which the type checker
// refuses when the line below them compiles; the runs show that the right uses record what they say, and that the wrong ones,
// where types are not looked at, throw nothing.
import { beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import type { DROP_REASONS, SpanAttributes, SpanName, ValetResource, ValetSpans } from "./spans.ts";
import {
  attributesToObject,
  type DropReason,
  parseTraceparent,
  type ReadableSpan,
  type Resource,
  type Span,
  type SpanContext,
  SpanKind,
  Tracer,
} from "./tracing/index.ts";

const CLIENT = SpanKind.CLIENT;
const SERVER = SpanKind.SERVER;
const cause = parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") as SpanContext;

let started: ReadableSpan[] = [];
const processor = { onStart: (span: ReadableSpan) => started.push(span), onEnd: () => {} };
const tracer = new Tracer<ValetSpans>({ scope: { name: "test" }, processor });

beforeEach(() => {
  started = [];
});

/** Text that the type checker knows nothing more of. */
const text = (value: string): string => value;

describe("names", () => {
  test("exact ones, and patterns filled in", () => {
    tracer.startSpan("valet.prompt");
    tracer.startSpan("chat some-model", { kind: CLIENT });
    tracer.startSpan(`chat ${text("m")}`, { kind: CLIENT });
    tracer.startSpan(`invoke_agent ${text("build")}`);
    tracer.startSpan(`execute_tool ${text("bash")}`);
    tracer.startSpan(`valet.workflow.step ${text("lint")}`);
    tracer.startSpan("POST /api/sessions/:id/messages", { kind: SERVER });
    const method: "GET" | "POST" = text("").length > 0 ? "GET" : "POST";
    tracer.startSpan(`${method} ${text("/sandboxes")}`, { kind: SERVER });
    tracer.startSpan("HTTP", { kind: SERVER });
    expect(started.map(({ name, kind }) => [name, kind])).toEqual([
      ["valet.prompt", 1],
      ["chat some-model", 3],
      ["chat m", 3],
      ["invoke_agent build", 1],
      ["execute_tool bash", 1],
      ["valet.workflow.step lint", 1],
      ["POST /api/sessions/:id/messages", 2],
      ["POST /sandboxes", 2],
      ["HTTP", 2],
    ]);
  });

  test("no others", () => {
    // @ts-expect-error: misspelt
    tracer.startSpan("valet.promt");
    // @ts-expect-error: a pattern is not a name
    tracer.startSpan("chat", { kind: CLIENT });
    // @ts-expect-error: any text
    tracer.startSpan(text("valet.prompt"));
    // @ts-expect-error: no method of HTTP
    tracer.startSpan("FETCH /api/sessions", { kind: SERVER });
    // @ts-expect-error: the convention's name for other methods is HTTP
    tracer.startSpan("_OTHER /api/sessions", { kind: SERVER });
    // @ts-expect-error: the catalogue's own way of writing is not a name
    tracer.startSpan("{method} {route}", { kind: SERVER });
    expect(started).toHaveLength(6);
  });

  test("all of them are known to the type", () => {
    expectTypeOf<"valet.sandbox.restore">().toExtend<SpanName>();
    expectTypeOf<`execute_tool ${string}`>().toExtend<SpanName>();
    expectTypeOf<string>().not.toExtend<SpanName>();
  });
});

describe("kinds", () => {
  test("INTERNAL goes without saying, others are said", async () => {
    tracer.startSpan("valet.queue.wait");
    tracer.startSpan("valet.queue.wait", { kind: SpanKind.INTERNAL });
    tracer.startSpan("valet.prompt.dispatch", { kind: SpanKind.PRODUCER });
    await tracer.withSpan("valet.turn", { kind: SpanKind.CONSUMER }, () => {});
    expect(started.map(({ kind }) => kind)).toEqual([1, 1, 4, 5]);
  });

  test("no others", async () => {
    // @ts-expect-error: CLIENT must be said
    tracer.startSpan("chat m");
    // @ts-expect-error: likewise, with other options
    tracer.startSpan("chat m", { attributes: {} });
    // @ts-expect-error: a dispatch is a PRODUCER
    tracer.startSpan("valet.prompt.dispatch", { kind: SpanKind.CLIENT });
    // @ts-expect-error: a prompt is INTERNAL
    await tracer.withSpan("valet.prompt", { kind: SERVER }, () => {});
    expect(started).toHaveLength(4);
  });
});

describe("attributes", () => {
  test("those of the span, at the start and later", () => {
    const span = tracer.startSpan("valet.turn", {
      kind: SpanKind.CONSUMER,
      attributes: {
        "valet.session.id": "s",
        "session.id": "s",
        "gen_ai.conversation.id": "s",
        "valet.queue.wait_ms": 12,
        "valet.queue.reason": "runner_busy",
        "valet.queue.mode": "followup",
        "valet.collect.message_ids": ["a", "b"],
        "valet.thread.id": undefined,
      },
    });
    span.setAttribute("valet.outcome", "error");
    span.setAttributes({ "error.type": "model_chain_exhausted", "valet.turn.failover_count": 1 });
    expect(attributesToObject((started[0] as ReadableSpan).attributes)).toEqual({
      "valet.session.id": "s",
      "session.id": "s",
      "gen_ai.conversation.id": "s",
      "valet.queue.wait_ms": 12,
      "valet.queue.reason": "runner_busy",
      "valet.queue.mode": "followup",
      "valet.collect.message_ids": ["a", "b"],
      "valet.outcome": "error",
      "error.type": "model_chain_exhausted",
      "valet.turn.failover_count": 1,
    });
  });

  test("no others, and of no other type", () => {
    const span = tracer.startSpan("valet.queue.wait");
    // @ts-expect-error: misspelt
    span.setAttribute("valet.queue.waitms", 1);
    // @ts-expect-error: another span's
    span.setAttribute("gen_ai.request.model", "m");
    // @ts-expect-error: a number
    span.setAttribute("valet.queue.wait_ms", "1");
    // @ts-expect-error: not in the list
    span.setAttribute("valet.queue.reason", "bored");
    // @ts-expect-error: not in the list
    span.setAttributes({ "valet.outcome": "failed" });
    // @ts-expect-error: misspelt
    span.setAttributes({ "valet.outcome": "ok", "valet.outcom": "ok" });
    // @ts-expect-error: another span's, at the start
    tracer.startSpan("valet.sandbox.hibernate", { attributes: { "valet.terminate.reason": "requested" } });
    // @ts-expect-error: the operation of this span has one name
    tracer.startSpan(`chat ${text("m")}`, { kind: CLIENT, attributes: { "gen_ai.operation.name": "execute_tool" } });
    // @ts-expect-error: a list
    tracer.startSpan("chat m", { kind: CLIENT, attributes: { "gen_ai.response.finish_reasons": "stop" } });
    expect(started).toHaveLength(4);
  });

  test("the span that withSpan hands over is held to the same", async () => {
    await tracer.withSpan(`execute_tool ${text("bash")}`, { parent: cause }, (span) => {
      span.setAttribute("process.exit.code", 1);
      // @ts-expect-error: another span's
      span.setAttribute("valet.queue.mode", "steer");
    });
    expect(started[0]?.parent).toEqual(cause);
  });
});

describe("error types", () => {
  test("those that the span may end with, and the convention's word for any other", () => {
    const span = tracer.startSpan("valet.runner.git_clone");
    span.setAttribute("error.type", "git_auth_failed");
    span.setAttribute("error.type", "_OTHER");
    // @ts-expect-error: another span's
    span.setAttribute("error.type", "provider_rate_limited");
    // @ts-expect-error: text of an error
    span.setAttribute("error.type", text("fatal: repository not found"));
    expect(started).toHaveLength(1);
  });

  test("for requests the status code as text", () => {
    const span = tracer.startSpan("POST /api/sessions", { kind: SERVER, attributes: { "error.type": "500" } });
    const status: number = 503;
    span.setAttribute("error.type", `${status}`);
    // @ts-expect-error: a span of ours would say so
    span.setAttribute("error.type", "spawn_failed");
    span.setAttributes({ "valet.outcome": "aborted", "valet.outcome.reason": "client_closed_request" });
    // @ts-expect-error: the status code says so
    span.setAttribute("valet.outcome", "error");
    // @ts-expect-error: a span of ours would say so
    span.setAttribute("valet.outcome.reason", "user_abort");
    expect(started).toHaveLength(1);
  });

  test("one helper can end any span that has an outcome", () => {
    type Ending = Pick<SpanAttributes<"valet.prompt">, "valet.outcome"> & {
      readonly "error.type"?: string | undefined;
      readonly "valet.outcome.reason"?: string | undefined;
    };
    const settle = (span: Span<Ending>) =>
      span.setAttributes({ "valet.outcome": "aborted", "valet.outcome.reason": "user_abort" });
    settle(tracer.startSpan("valet.prompt"));
    settle(tracer.startSpan(`invoke_agent ${text("build")}`));
    expect(started.map(({ attributes }) => attributes)).toEqual([
      ["valet.outcome", "aborted", "valet.outcome.reason", "user_abort"],
      ["valet.outcome", "aborted", "valet.outcome.reason", "user_abort"],
    ]);
  });
});

describe("links", () => {
  test("of the types that the span may have", () => {
    const dispatch = tracer.startSpan("valet.prompt.dispatch", {
      kind: SpanKind.PRODUCER,
      links: [{ context: cause, attributes: { "valet.link.type": "collected" } }],
    });
    dispatch.addLink({ context: cause, attributes: { "valet.link.type": "follows" } });
    expect(started[0]?.links.map((link) => link.attributes)).toEqual([
      ["valet.link.type", "collected"],
      ["valet.link.type", "follows"],
    ]);
  });

  test("no others, and with nothing else on them", () => {
    const wait = tracer.startSpan("valet.queue.wait");
    // @ts-expect-error: a wait collects nothing
    wait.addLink({ context: cause, attributes: { "valet.link.type": "collected" } });
    // @ts-expect-error: not in the list
    wait.addLink({ context: cause, attributes: { "valet.link.type": "because" } });
    // @ts-expect-error: a link says why it is there
    wait.addLink({ context: cause, attributes: {} });
    // @ts-expect-error: and nothing else
    wait.addLink({ context: cause, attributes: { "valet.link.type": "waited_on", "valet.session.id": "s" } });
    const turn = tracer.startSpan("valet.turn", { kind: SpanKind.CONSUMER });
    // @ts-expect-error: a turn is a step of one operation and links to nothing
    turn.addLink({ context: cause, attributes: { "valet.link.type": "follows" } });
    expect(started).toHaveLength(2);
  });
});

describe("what the tracer itself reports and takes", () => {
  test("every reason for a drop is in the catalogue", () => {
    expectTypeOf<(typeof DROP_REASONS)[number]>().toEqualTypeOf<DropReason>();
    tracer.startSpan("valet.trace_plane.dropped", { attributes: { "valet.dropped_spans.queue_full": 3 } });
    expect(started[0]?.attributes).toEqual(["valet.dropped_spans.queue_full", 3]);
  });

  test("a resource of ours is one that it takes, and has a name", () => {
    expectTypeOf<ValetResource>().toExtend<Resource>();
    // @ts-expect-error: who emits must be said
    const nameless: ValetResource = { "service.version": "1" };
    expect(nameless).not.toHaveProperty("service.name");
  });
});
