/** Bodies that do not arrive completely; none of them is an error of the Worker. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { ORIGIN, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import { eventually } from "../../test/eventually.ts";
import { attributesOf, spansOf } from "../../test/otlp.ts";
import { createApp } from "./app.ts";
import { BODY_TIMEOUT_MS, readAll } from "./request-body.ts";

let token: string;
beforeAll(async () => {
  token = await signIn();
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Sends a request with this body. @returns its status, the log, and the spans that were exported */
async function send(body: ReadableStream<Uint8Array>, headers: Record<string, string> = {}) {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const posts: string[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    posts.push(await new Request(url, init).text());
    return new Response();
  });
  const env = {
    ...bindings,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://backend.test/v1/traces",
    OTEL_EXPORTER_OTLP_COMPRESSION: "none",
  };
  const ctx = createExecutionContext();
  const request = new Request(`${ORIGIN}/api/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body,
  });
  const response = await createApp().fetch(request, env, ctx);
  await waitOnExecutionContext(ctx);
  return { response, logged: log.mock.calls.flat(), spans: posts.flatMap((post) => spansOf(post)) };
}

/** Returns a body that breaks off after its beginning, as when a client disconnects. */
function brokenOff(): ReadableStream<Uint8Array> {
  let isFirst = true;
  return new ReadableStream({
    pull(controller) {
      if (isFirst) controller.enqueue(new TextEncoder().encode('{"title": "'));
      else controller.error(Object.assign(new Error("Network connection lost."), { retryable: true }));
      isFirst = false;
    },
  });
}

test("an aborted upload is not an error: no log line, and a span with status 499", async () => {
  const { response, logged, spans } = await send(brokenOff());
  expect(response.status).toBe(499);
  expect(logged).toEqual([]);
  expect(spans).toHaveLength(1);
  expect(attributesOf(spans[0])).toMatchObject({
    "http.response.status_code": "499",
    "valet.outcome": "aborted",
    "valet.outcome.reason": "client_closed_request",
  });
  expect(attributesOf(spans[0])).not.toHaveProperty("error.type");
  expect(spans[0]?.status.code).toBe(0);
});

test("a body that takes too long is the caller's fault: a span with status 408 and the reason, and no error", async () => {
  const setTimer = globalThis.setTimeout;
  vi.stubGlobal("setTimeout", (work: () => void, ms: number) => setTimer(work, ms === BODY_TIMEOUT_MS ? 0 : ms));
  const { response, logged, spans } = await send(new ReadableStream({ pull: () => new Promise(() => {}) }));
  expect(response.status).toBe(408);
  expect(logged).toEqual([]);
  expect(attributesOf(spans[0])).toMatchObject({
    "http.response.status_code": "408",
    "valet.outcome": "aborted",
    "valet.outcome.reason": "request_timeout",
  });
  expect(attributesOf(spans[0])).not.toHaveProperty("error.type");
});

test("an answered request, whatever its status, is not aborted", async () => {
  const { response, spans } = await send(new Response("nonsense").body as ReadableStream<Uint8Array>);
  expect(response.status).toBe(400);
  expect(attributesOf(spans[0])).not.toHaveProperty("valet.outcome");
});

test("reading an endless body stops, without waiting for the rest", async () => {
  let cancelled = false;
  const never = new ReadableStream<Uint8Array>({
    pull: () => new Promise(() => {}),
    cancel: () => {
      cancelled = true;
    },
  });
  await expect(readAll(never, 10, 20)).rejects.toMatchObject({ problem: { status: 408 } });
  await eventually(() => expect(cancelled).toBe(true));
});

test("a body is read completely, however it is split, up to its limit and no further", async () => {
  const pieces = ["a", "bc", "", "def"].map((text) => new TextEncoder().encode(text));
  const streamOf = (chunks: Uint8Array[]) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      },
    });
  expect(new TextDecoder().decode(await readAll(streamOf(pieces), 6, 1000))).toBe("abcdef");
  await expect(readAll(streamOf(pieces), 5, 1000)).rejects.toMatchObject({ problem: { status: 413 } });
  expect(await readAll(streamOf([]), 5, 1000)).toHaveLength(0);
});
