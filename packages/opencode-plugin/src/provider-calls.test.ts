/** The observation of provider requests, with a fake provider and a fake runner over real HTTP. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { type ModelCallPermit, ProviderBytes, ProviderCall } from "@valet/shared/protocol/child-sessions";
import { expect, onTestFinished, test } from "vitest";
import type { PreparedRequest } from "./model-requests.ts";
import { observeProviderCalls } from "./provider-calls.ts";

interface Peers {
  readonly silenceMs?: number;
  /** How long the runner takes to answer a report. */
  readonly runnerMs?: number;
  readonly providerID?: string;
}

async function setUp({ silenceMs = SILENCE_MS, runnerMs = 0, providerID = "other" }: Peers = {}) {
  const reported: ProviderCall[] = [];
  const bytes: ProviderBytes[] = [];
  const order: string[] = [];
  const seen: (string | undefined)[] = [];
  const states: unknown[] = [];
  const closed: (string | undefined)[] = [];
  const server = createServer(async (request, response) => {
    if (request.method === "POST" && request.url === "/runner") {
      const news = (await json(request)) as { providerCall?: unknown; providerBytes?: unknown; modelRequest?: unknown };
      if (runnerMs === Number.POSITIVE_INFINITY) return;
      await sleep(runnerMs);
      order.push(...Object.keys(news));
      if (news.providerBytes !== undefined) bytes.push(ProviderBytes.parse(news.providerBytes));
      else if (news.providerCall !== undefined) reported.push(ProviderCall.parse(news.providerCall));
      response.end("{}");
      return;
    }
    seen.push(request.headers["x-valet-call"] as string | undefined);
    states.push(request.headers.tracestate);
    const events = { "content-type": "text/event-stream" };
    if (request.url?.startsWith("/redirect")) {
      const { port } = server.address() as AddressInfo;
      response.writeHead(Number(request.url.split("/")[2]), { location: `http://localhost:${port}/answers` }).end();
    } else if (request.url === "/refused") response.writeHead(429).end("no");
    else if (request.url === "/error") response.writeHead(200, events).end(`: hello\n\n${QUOTA}`);
    else if (request.url === "/long") response.writeHead(200).end(LONG);
    else if (request.url === "/later") response.writeHead(200, events).end(`${TEXT}${QUOTA}`);
    else if (request.url?.startsWith("/typed")) {
      const { type, body } = Object.fromEntries(new URL(request.url, "http://x").searchParams);
      response.writeHead(200, { "content-type": type }).end(body);
    } else if (request.url === "/slow") {
      response.writeHead(200, events).flushHeaders();
      for (let beat = 0; beat < 30; beat++) {
        await sleep(100);
        response.write(beat % 5 === 0 ? "data: {}\n\n" : ": PROCESSING\n\n");
      }
      response.end(TEXT);
    } else if (request.url === "/comments") {
      response.writeHead(200, events);
      const timer = setInterval(() => response.write(': PROCESSING\n\ndata: {"type": "ping"}\n\n'), 10);
      response.on("close", () => {
        clearInterval(timer);
        closed.push(request.url);
      });
    } else {
      response.write('data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n');
      response.end('data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10}}\n\n');
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const original = globalThis.fetch;
  const onHeaders = observeProviderCalls({ url: `${url}/runner`, secret: "secret" }, silenceMs);
  onTestFinished(() => {
    globalThis.fetch = original;
    server.closeAllConnections();
    server.close();
  });
  const call = async (path: string, permit: ModelCallPermit = {}, other: object = {}, prepared?: PreparedRequest) => {
    const output = { headers: {} as Record<string, string> };
    const cost = { input: 1, output: 2, cache: { read: 0, write: 0 }, ...other };
    if (permit.traceparent !== undefined) output.headers.traceparent = permit.traceparent;
    onHeaders({ sessionID: "ses_1", model: { providerID, cost } }, output, permit, prepared && (() => prepared));
    const response = await fetch(`${url}${path}`, { headers: output.headers });
    return { status: response.status, text: await response.text() };
  };
  return { reported, bytes, order, seen, states, closed, call, url };
}

/** Longer than this machine pauses: only a stream that must be given up has less. */
const SILENCE_MS = 20_000;
const LONG = JSON.stringify({ choices: [], text: "ä".repeat(100_000), error: { code: 429 } });
const QUOTA = 'data: {"error":{"type":"insufficient_quota","message":"gone"}}\n\n';
const TEXT = 'data: {"choices":[{"delta":{"content":"I beg"}}]}\n\n';

test("a stream that begins with an error is the HTTP error that it stands for", async () => {
  const { reported, call } = await setUp();
  const { status, text } = await call("/error");
  expect([status, JSON.parse(text)]).toEqual([429, { error: { type: "insufficient_quota", message: "gone" } }]);
  expect(reported.at(-1)).toMatchObject({ status: 429 });
});

test.each([
  ['{"error":{"message":"slow down","code":429}}', 429],
  ['\n{\n  "error": "The model is overloaded"\n}\n', 529],
  ['[{"error":{"status":"UNAUTHENTICATED"}}]', 401],
])(
  "a document that is an error is the HTTP error that it stands for, whatever its status says: %s",
  async (body, expected) => {
    const { reported, call } = await setUp();
    expect((await call(typed("application/json", body))).status).toBe(expected);
    expect(reported.at(-1)).toMatchObject({ status: expected, endedMs: expect.any(Number) });
  },
);

test("a long document is passed on unchanged", async () => {
  const { call } = await setUp();
  expect(await call("/long")).toEqual({ status: 200, text: LONG });
});

const PAGE = "\n<!doctype html><title>Sign in</title>";
const typed = (type: string, body: string) => `/typed?${new URLSearchParams({ type, body })}`;

test.each([
  ["text/html; charset=utf-8", PAGE],
  ["application/xhtml+xml", PAGE],
  ["text/plain", PAGE],
  ["text/html", ""],
])("a web page as %s is an answer that cannot be read, and its status is reported", async (type, body) => {
  const { reported, call } = await setUp();
  const { status, text } = await call(typed(type, body));
  expect([status, text]).toEqual([200, "data: The provider answered with a web page.\n\n"]);
  expect(reported.at(-1)).toMatchObject({ status: 200, endedMs: expect.any(Number) });
});

test.each([
  ["text/html", TEXT],
  ["text/html", `\n\n: hello\n\n${TEXT}`],
  ["text/html", '{"choices":[]}'],
  ["application/octet-stream", TEXT],
  ["text/plain", TEXT],
  ["application/x-ndjson", '{"choices":[]}'],
  ["application/json", ""],
])("an answer of the unusual type %s that is none is passed on unchanged: %j", async (type, body) => {
  const { call } = await setUp();
  expect(await call(typed(type, body))).toEqual({ status: 200, text: body });
});

test("an error later in a stream is passed on, and its status reported before", async () => {
  const { reported, call } = await setUp();
  expect(await call("/later")).toEqual({ status: 200, text: `${TEXT}${QUOTA}` });
  expect(reported.at(-1)).toMatchObject({ status: 429 });
});

test("a stream that only keeps its connection open is given up as a timeout", async () => {
  const { reported, closed, call } = await setUp({ silenceMs: 300 });
  await expect(call("/comments")).rejects.toMatchObject({ code: "ECONNRESET" });
  expect(reported.at(-1)).toMatchObject({ status: 408 });
  await expect.poll(() => closed, { timeout: 20_000 }).toEqual(["/comments"]);
});

test("bytes that bring nothing are reported about once a second, and the stream does not wait for that", async () => {
  const { bytes, reported, call } = await setUp();
  expect((await call("/slow")).text).toContain("I beg");
  await expect.poll(() => reported.length, { timeout: 20_000 }).toBe(2);
  await expect.poll(() => bytes.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
  expect(bytes.length).toBeLessThanOrEqual((Date.now() - (reported[0]?.startedMs ?? 0)) / 1000);
  for (const { opencodeSessionId, atMs } of bytes) {
    expect([opencodeSessionId, atMs >= (reported[0]?.startedMs ?? 0) + 1000]).toEqual(["ses_1", true]);
  }
}, 30_000);

test("an answer is passed on unchanged, and its status, end, tokens and cost are reported", async () => {
  const { reported, seen, call } = await setUp();
  expect((await call("/answers")).text).toContain('"prompt_tokens":100');
  await expect.poll(() => reported.length, { timeout: 20_000 }).toBe(2);
  expect(reported.find(({ endedMs }) => endedMs !== undefined)).toMatchObject({
    opencodeSessionId: "ses_1",
    status: 200,
    finish: "tool_calls",
    tokens: { total: 110, input: 100, output: 10, reasoning: 0, cache: { read: 0, write: 0 } },
    costUsd: 0.00012,
    prices: { input: 1, cacheRead: 0, cacheWrite: 0 },
    unpriced: ["cacheRead", "cacheWrite"],
  });
  // The provider does not receive the marker.
  expect(seen).toEqual([undefined]);
});

test.each([
  ["are impossible", { input: -1 }],
  [
    "make a cost that is no number",
    { input: Number.MAX_VALUE, output: Number.MAX_VALUE, cache: { read: -1, write: 0 } },
  ],
])("prices that %s are not reported, and the call is", async (_what, other) => {
  const { reported, call } = await setUp();
  await call("/answers", {}, other);
  await expect.poll(() => reported.length, { timeout: 20_000 }).toBe(2);
  const told = reported.map(({ prices, costUsd, status }) => ({ prices, costUsd, status }));
  expect(told).toEqual([{ status: 200 }, { status: 200 }]);
});

const tier = (size: number, input: number) => ({
  ...{ input, output: 2 * input, cache: { read: 0, write: 0 } },
  tier: { type: "context", size },
});

// The call has 100 tokens of input and 10 of output.
test.each([
  [0.00012, { tiers: [] }],
  [0.00012, { tiers: [tier(100, 5)] }],
  [0.0006, { tiers: [tier(99, 5), tier(100, 9)] }],
  [0.0006, { tiers: [tier(50, 3), tier(99, 5), tier(20, 2)] }],
  [0.00012, { tiers: [{ ...tier(1, 5), tier: { type: "other", size: 1 } }] }],
  [0.00012, { experimentalOver200K: tier(0, 5) }],
])(
  "the cost is reported where prices depend on the input's length, too, and the prices are not: %d",
  async (usd, other) => {
    const { reported, call } = await setUp();
    await call("/answers", {}, other);
    await expect.poll(() => reported.length, { timeout: 20_000 }).toBe(2);
    const ended = reported.find(({ endedMs }) => endedMs !== undefined);
    expect(ended?.costUsd).toBeCloseTo(usd, 12);
    expect(reported.flatMap(({ prices }) => prices ?? [])).toEqual([]);
  },
);

test("the deployment's own prices lack no kind of token: 0 is one of them", async () => {
  const { reported, call } = await setUp({ providerID: "valet" });
  await call("/answers");
  await expect.poll(() => reported.length, { timeout: 20_000 }).toBe(2);
  expect(reported.flatMap(({ unpriced }) => unpriced ?? [])).toEqual([]);
  expect(reported.at(-1)).toMatchObject({ costUsd: 0.00012 });
});

test.each(["/answers", "/refused", "/error", "/later"])(
  "the runner hears of a request, of its answer and of an error before the answer ends, however busy it is: %s",
  async (path) => {
    const { order, reported, call } = await setUp({ runnerMs: 50 });
    await call(path, {}, {}, { opencodeSessionId: "ses_1", messageId: "msg_2", userMessageId: "msg_1", params: {} });
    expect(order.slice(0, 2)).toEqual(["modelRequest", "providerCall"]);
    expect(reported.at(-1)).toMatchObject({ status: path === "/answers" ? 200 : 429, prices: { input: 1 } });
  },
);

test("a refusal is reported with its status", async () => {
  const { reported, call } = await setUp();
  expect(await call("/refused")).toEqual({ status: 429, text: "no" });
  await expect.poll(() => reported, { timeout: 20_000 }).toMatchObject([{ status: 429 }]);
});

test("a runner that hangs holds up neither an answer nor an error for longer than its reports may take", async () => {
  const { call } = await setUp({ runnerMs: Number.POSITIVE_INFINITY });
  const answers = ["/refused", "/error", "/later", "/answers"].map((path) => call(path));
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([429, 429, 200, 200]);
});

test("a call that the runner refuses does not reach the provider, and counts as aborted", async () => {
  const { reported, seen, call } = await setUp();
  await expect(call("/answers", { isRefused: true })).rejects.toMatchObject({ name: "AbortError" });
  expect((await call("/answers")).status).toBe(200);
  expect(seen).toHaveLength(1);
  await expect.poll(() => reported.length, { timeout: 20_000 }).toBe(2);
});

test("other requests are not observed", async () => {
  const { reported, url } = await setUp();
  await (await fetch(`${url}/answers`)).text();
  expect(reported).toEqual([]);
});

test("the tracestate goes to listed hosts only, and never without its traceparent", async () => {
  const { states, call } = await setUp();
  const context = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "vendor=1" };
  await call("/answers", { ...context, tracestateHosts: ["127.0.0.1"] });
  await call("/answers", { ...context, tracestateHosts: ["127.0.0.1:1", "gateway.example.com"] });
  await call("/answers", context);
  await call("/answers", { tracestate: "vendor=1", tracestateHosts: ["127.0.0.1"] });
  expect(states).toEqual(["vendor=1", undefined, undefined, undefined]);
});

test.each([301, 302, 303, 307, 308])(
  "a listed host's redirect (%i) takes no tracestate to another host",
  async (status) => {
    const { states, seen, call } = await setUp();
    const context = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "vendor=1" };
    const answer = await call(`/redirect/${status}`, { ...context, tracestateHosts: ["127.0.0.1"] });
    expect(answer.text).toContain('"prompt_tokens":100');
    expect(states).toEqual(["vendor=1", undefined, undefined]);
    // Nor the marker.
    expect(seen).toEqual([undefined, undefined, undefined]);
  },
);
