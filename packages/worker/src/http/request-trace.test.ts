import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import type { AcceptedMessage } from "@valet/shared/protocol/session-api";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { call, createSession, ORIGIN, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import { attributesOf, spansOf, type WireSpan } from "../../test/otlp.ts";
import { SessionAgent } from "../durable-objects/session-agent.ts";
import { createApp } from "./app.ts";

const SERVER = 2;
const CALLER = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const TRACEPARENT = `00-${CALLER.traceId}-${CALLER.spanId}-01`;

let token: string;
let session: string;
beforeAll(async () => {
  token = await signIn();
  session = (await createSession(token)).id;
});

/** Sends a message and waits for the request's span in the session's trace. */
async function sendMessage(headers: Record<string, string>): Promise<{ accepted: AcceptedMessage; span: WireSpan }> {
  const path = `/api/sessions/${session}/messages`;
  const response = await call("POST", path, { token, body: { content: "hello" }, headers });
  expect(response.status).toBe(202);
  const accepted: AcceptedMessage = await response.json();
  const span = await vi.waitFor(async () => {
    const trace = await call("GET", `/api/sessions/${session}/traces/${accepted.traceId}`, { token });
    const found = spansOf(await trace.text()).find(
      ({ kind, traceId }) => kind === SERVER && traceId === accepted.traceId,
    );
    if (found === undefined) throw new Error("not there yet");
    return found;
  }, 20_000);
  return { accepted, span };
}

describe("a request that changes a session", () => {
  test("continues the caller's trace, and its span reaches the session", async () => {
    const { accepted, span } = await sendMessage({ traceparent: TRACEPARENT, tracestate: "a=1" });
    expect(accepted.traceId).toBe(CALLER.traceId);
    expect(span).toMatchObject({
      name: "POST /api/sessions/:id/messages",
      parentSpanId: CALLER.spanId,
      traceState: "a=1",
    });
    expect(attributesOf(span)).toMatchObject({
      "http.request.method": "POST",
      "http.route": "/api/sessions/:id/messages",
      "http.response.status_code": "202",
      "url.path": `/api/sessions/${session}/messages`,
      "url.scheme": "https",
      "valet.session.id": session,
      "session.id": session,
      "gen_ai.conversation.id": session,
      "valet.message.id": accepted.messageId,
    });
    expect(Object.keys(attributesOf(span))).not.toContain("error.type");
  });

  test("is answered with the ids of its span", async () => {
    const path = `/api/sessions/${session}/messages`;
    const headers = { traceparent: TRACEPARENT };
    const accepted = await call("POST", path, { token, body: { content: "hello" }, headers });
    const refused = await call("POST", path, { token, body: {}, headers });
    for (const { headers } of [accepted, refused]) {
      expect(headers.get("traceresponse")).toMatch(
        new RegExp(`^00-${CALLER.traceId}-(?!${CALLER.spanId})[0-9a-f]{16}-01$`),
      );
    }
    expect((await call("GET", path, { token })).headers.get("traceresponse")).toBeNull();
  });

  test.each([
    "",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "nonsense",
    `${TRACEPARENT}, ${TRACEPARENT}`,
  ])("with the traceparent %j starts a trace of its own", async (traceparent) => {
    const { accepted, span } = await sendMessage({ traceparent });
    expect(accepted.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
    expect(accepted.traceId).not.toBe(CALLER.traceId);
    expect(span.parentSpanId ?? "").toBe("");
  });
});

describe("the span of a request", () => {
  afterEach(() => void vi.restoreAllMocks());
  /** Calls with spans of requests that did not end with a change. */
  const recordSpans = () => vi.spyOn(SessionAgent.prototype, "recordSpans");

  /** The request's spans in a trace. */
  async function spansIn(traceId: string): Promise<WireSpan[]> {
    const trace = await call("GET", `/api/sessions/${session}/traces/${traceId}`, { token });
    return trace.status === 404 ? [] : spansOf(await trace.text()).filter(({ kind }) => kind === SERVER);
  }

  async function request(method: string, path: string, body?: object) {
    const traceId = crypto.randomUUID().replaceAll("-", "");
    const headers = { traceparent: `00-${traceId}-${CALLER.spanId}-01` };
    const { status } = await call(method, `/api/sessions/${session}/${path}`, { token, headers, body });
    const [span, ...others] = await vi.waitFor(async () => {
      const spans = await spansIn(traceId);
      expect(spans).not.toEqual([]);
      return spans;
    }, 20_000);
    expect(others).toEqual([]);
    return { traceId, status, attributes: attributesOf(span) };
  }

  test.each([
    ["POST", "messages", { content: "hello" }, 202, "valet.message.id"],
    [
      "POST",
      "workflows",
      { name: "check", steps: [{ name: "build", run: "make" }] },
      202,
      "valet.workflow.execution.id",
    ],
    ["DELETE", "queue", undefined, 200, undefined],
    ["POST", "abort", undefined, 202, undefined],
  ])("%s %s ends in the transaction of the change, without another call", async (method, what, body, status, about) => {
    const recorded = recordSpans();
    const answered = await request(method, what, body);
    expect(answered.status).toBe(status);
    expect(answered.attributes).toMatchObject({
      "http.response.status_code": `${status}`,
      "valet.session.id": session,
      ...(about !== undefined && { [about]: expect.any(String) }),
    });
    expect(recorded).not.toHaveBeenCalled();
  });

  test("that the session refuses is delivered by the Worker", async () => {
    const recorded = recordSpans();
    const { status, attributes } = await request("DELETE", "messages/msg_unknown");
    expect([status, attributes["http.response.status_code"]]).toEqual([404, "404"]);
    expect(recorded).toHaveBeenCalledTimes(1);
  });

  test("that ended with the change, whose answer was lost, keeps that end", async () => {
    const recorded = recordSpans();
    const { sendMessage } = SessionAgent.prototype;
    vi.spyOn(SessionAgent.prototype, "sendMessage").mockImplementation(async function (this: SessionAgent, ...args) {
      await sendMessage.apply(this, args);
      throw new Error("the answer is lost");
    });
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { status, traceId } = await request("POST", "messages", { content: "lost" });
    expect(status).toBe(500);
    await vi.waitFor(() => expect(recorded.mock.settledResults).toMatchObject([{ type: "fulfilled" }]), 20_000);
    const spans = await spansIn(traceId);
    expect(spans.map((span) => attributesOf(span)["http.response.status_code"])).toEqual(["202"]);
  });
});

describe("a request that reaches no session", () => {
  const endpoint = "https://backend.test/v1/traces";
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  /** Returns what a backend receives for a request. The Worker has a backend unless `variables` say otherwise. */
  async function exported(
    method: string,
    path: string,
    init: RequestInit = {},
    variables: Record<string, string> = {},
  ) {
    const posts: Request[] = [];
    vi.stubGlobal("fetch", async (url: string, options: RequestInit) => {
      posts.push(new Request(url, options));
      return new Response();
    });
    const env = {
      ...bindings,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "x-key=abc",
      OTEL_EXPORTER_OTLP_COMPRESSION: "none",
      ...variables,
    };
    const ctx = createExecutionContext();
    const response = await createApp().fetch(new Request(ORIGIN + path, { method, ...init }), env, ctx);
    await response.arrayBuffer();
    await waitOnExecutionContext(ctx);
    const spans = await Promise.all(posts.map(async (post) => spansOf(await post.text())));
    return { status: response.status, posts, spans: spans.flat() };
  }
  const headers = (more: Record<string, string> = {}) => ({ authorization: `Bearer ${token}`, ...more });
  const json = { "content-type": "application/json" };

  test("is exported, in the caller's trace", async () => {
    const init = { headers: headers({ ...json, traceparent: TRACEPARENT }), body: '{"repoUrl": "x"}' };
    const { status, posts, spans } = await exported("POST", "/api/sessions", init);
    expect(status).toBe(400);
    expect(posts.map(({ url }) => url)).toEqual([endpoint]);
    expect(posts[0]?.headers.get("x-key")).toBe("abc");
    expect(spans).toMatchObject([{ name: "POST /api/sessions", kind: SERVER, ...parentOf(CALLER) }]);
    expect(attributesOf(spans[0])).toMatchObject({ "http.response.status_code": "400" });
    expect(attributesOf(spans[0])).not.toHaveProperty("error.type");
  });

  test("has neither a route for an unknown path nor the query", async () => {
    const { spans } = await exported("PUT", "/api/nothing?token=secret", { headers: headers() });
    expect(spans).toMatchObject([{ name: "PUT" }]);
    expect(attributesOf(spans[0])).toMatchObject({ "http.response.status_code": "404", "url.path": "/api/nothing" });
    expect(JSON.stringify(spans)).not.toContain("secret");
  });

  test("is an error when the Worker failed", async () => {
    const DB = { prepare: bindings.DB.prepare.bind(bindings.DB), batch: () => Promise.reject(new Error("D1 is away")) };
    const init = { headers: headers(json), body: JSON.stringify({ sessionId: session }) };
    const { status, spans } = await exported("POST", "/api/tickets", init, { DB } as unknown as Record<string, string>);
    expect(status).toBe(500);
    expect(spans).toMatchObject([{ status: { code: 2 } }]);
    expect(attributesOf(spans[0])).toMatchObject({ "error.type": "500" });
    expect(JSON.stringify(spans)).not.toContain("D1 is away");
  });

  test("is not exported without an endpoint, unsampled, or with tracing off", async () => {
    const init = { headers: headers(json), body: "{" };
    for (const variables of [
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "" },
      { OTEL_TRACES_SAMPLER: "always_off" },
      { OTEL_SDK_DISABLED: "true" },
    ]) {
      expect(await exported("POST", "/api/sessions", init, variables)).toMatchObject({ status: 400, posts: [] });
    }
  });

  test("is not exported without authentication, or for reads", async () => {
    expect((await exported("POST", "/api/sessions", { headers: { traceparent: TRACEPARENT } })).posts).toEqual([]);
    expect((await exported("GET", "/api/sessions?limit=0", { headers: headers() })).posts).toEqual([]);
  });
});

function parentOf({ traceId, spanId }: typeof CALLER) {
  return { traceId, parentSpanId: spanId };
}
