import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type OutgoingHttpHeaders, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

const SERVICE = join(import.meta.dirname, "w3c-echo.ts");
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`;

interface Received {
  readonly traceparent: string[] | undefined;
  readonly tracestate: string[] | undefined;
  readonly body: string;
}

let service: ChildProcess;
let serviceUrl: string;
let target: Server;
let targetUrl: string;
/** The calls that the service has made, in order. */
let received: Received[];

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [SERVICE, ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

/** Returns the address that the service prints once it listens. */
async function addressOf(child: ChildProcess): Promise<string> {
  const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  return line.replace("listening on ", "");
}

async function post(headers: OutgoingHttpHeaders, body: string, method = "POST") {
  const outgoing = request(serviceUrl, { method, headers });
  outgoing.end(body);
  const [answer] = await once(outgoing, "response");
  return { status: answer.statusCode as number, body: JSON.parse(await text(answer)) };
}

/** Has the service make one call, and returns the received request. */
async function callWith(headers: OutgoingHttpHeaders): Promise<Received> {
  const answer = await post(headers, JSON.stringify([{ url: targetUrl, arguments: [] }]));
  expect(answer).toEqual({ status: 200, body: [{ url: targetUrl, status: 200 }] });
  expect(received).toHaveLength(1);
  return received[0] as Received;
}

beforeAll(async () => {
  target = createServer(async (incoming, response) => {
    const { traceparent, tracestate } = incoming.headersDistinct;
    received.push({ traceparent, tracestate, body: await text(incoming) });
    response.writeHead(incoming.url === "/redirect" ? 307 : 200, { location: "http://example.com/" }).end("[]");
  });
  target.listen(0, "127.0.0.1");
  service = start("--port", "0");
  [serviceUrl] = await Promise.all([addressOf(service), once(target, "listening")]);
  targetUrl = `http://127.0.0.1:${(target.address() as AddressInfo).port}/`;
});

afterAll(async () => {
  service.kill();
  target.closeAllConnections();
  target.close();
  await once(service, "exit");
});

beforeEach(() => {
  received = [];
});

describe("what the service forwards", () => {
  test("a trace is continued with a new parent id and one header each", async () => {
    const sent = await callWith({ traceparent: TRACEPARENT, tracestate: "foo=1,bar=2" });
    expect(sent.traceparent).toEqual([expect.stringMatching(`^00-${TRACE_ID}-[0-9a-f]{16}-01$`)]);
    expect(sent.traceparent?.[0]).not.toContain(SPAN_ID);
    expect(sent.tracestate).toEqual(["foo=1,bar=2"]);
  });

  test("R27 the random flag is kept, unknown flags and versions are not", async () => {
    const sent = await callWith({ TraceParent: `cc-${TRACE_ID}-${SPAN_ID}-fe-more` });
    expect(sent.traceparent).toEqual([expect.stringMatching(`^00-${TRACE_ID}-[0-9a-f]{16}-02$`)]);
    expect(sent.tracestate).toBeUndefined();
  });

  test.each<[string, OutgoingHttpHeaders]>([
    ["no traceparent", { tracestate: "foo=1" }],
    ["R26 version ff", { traceparent: `ff-${TRACE_ID}-${SPAN_ID}-01`, tracestate: "foo=1" }],
    ["R26 a suffix in version 00", { traceparent: `${TRACEPARENT}-x`, tracestate: "foo=1" }],
    ["R28 two traceparent headers", { traceparent: [TRACEPARENT, TRACEPARENT], tracestate: "foo=1" }],
  ])("%s restarts the trace, without tracestate", async (_case, headers) => {
    const sent = await callWith(headers);
    expect(sent.traceparent).toEqual([expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-03$/)]);
    expect(sent.traceparent?.[0]).not.toContain(TRACE_ID);
    expect(sent.tracestate).toBeUndefined();
  });

  test("R28 R29 a bad tracestate is dropped, and traceparent is kept", async () => {
    const sent = await callWith({ traceparent: TRACEPARENT, tracestate: "foo=1,BAR=2" });
    expect(sent.traceparent?.[0]).toContain(TRACE_ID);
    expect(sent.tracestate).toBeUndefined();
  });

  test("several tracestate headers are joined into one", async () => {
    const sent = await callWith({ traceparent: TRACEPARENT, tracestate: ["foo=1 ,\tbar=2", "", "baz=3"] });
    expect(sent.tracestate).toEqual(["foo=1,bar=2,baz=3"]);
  });

  test("every call has its own parent id, and carries its arguments", async () => {
    const calls = [1, 2, 3].map((n) => ({ url: targetUrl, arguments: [{ n }] }));
    await post({ traceparent: TRACEPARENT }, JSON.stringify(calls));
    expect(received.map(({ body }) => body)).toEqual(['[{"n":1}]', '[{"n":2}]', '[{"n":3}]']);
    expect(new Set(received.map(({ traceparent }) => traceparent?.[0]?.slice(36, 52))).size).toBe(3);
  });
});

describe("what the service refuses", () => {
  test.each([
    ["a body that is not JSON", "nonsense", 400, "not JSON"],
    ["a body that is not a list", "{}", 400, "not a list"],
    ["a call without a URL", "[null]", 400, 'call 0: "url" is no URL'],
    ["a call to a URL that is not HTTP", '[{"url": "file:///etc/passwd"}]', 403, "only http:// on loopback"],
    ["a host that is not loopback", '[{"url": "http://192.0.2.1/"}]', 403, "not http://192.0.2.1"],
    ["a host that begins like loopback", '[{"url": "http://127.0.0.1.example.com/"}]', 403, "only http:// on loopback"],
    ["too many calls", JSON.stringify(Array(101).fill({ url: "http://127.0.0.1/" })), 400, "more than 100 calls"],
    ["a body that is too large", " ".repeat(1024 * 1024 + 1), 413, "over 1048576 bytes"],
  ])("%s", async (_case, body, status, message) => {
    const answer = await post({}, body);
    expect(answer).toEqual({ status, body: { error: expect.stringContaining(message) } });
  });

  test("another method", async () => {
    expect(await post({}, "", "PUT")).toEqual({ status: 405, body: { error: "only POST is answered" } });
  });

  test("no call is made when one call of a list is refused", async () => {
    expect((await post({}, JSON.stringify([{ url: targetUrl }, { url: "http://192.0.2.1/" }]))).status).toBe(403);
    expect(received).toEqual([]);
  });

  test("to follow a redirect", async () => {
    const url = `${targetUrl}redirect`;
    expect(await post({}, JSON.stringify([{ url }]))).toEqual({ status: 200, body: [{ url, status: 307 }] });
    expect(received).toHaveLength(1);
  });

  test("and reports which call failed", async () => {
    const closed = createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const url = `http://127.0.0.1:${(closed.address() as AddressInfo).port}/`;
    closed.close();
    await once(closed, "close");
    const answer = await post({}, JSON.stringify([{ url }]));
    expect(answer).toEqual({ status: 502, body: { error: expect.stringContaining(`${url} could not be called`) } });
  });
});

describe("the command", () => {
  async function run(...args: string[]) {
    const child = start(...args);
    const [out, error, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, "exit")]);
    return { out, error, code };
  }

  test("--help prints the usage", async () => {
    expect(await run("--help")).toEqual({ out: expect.stringContaining("Usage:"), error: "", code: 0 });
  });

  test.each([
    [["--port", "x"], '--port takes a number from 0 to 65535, not "x"'],
    [["--port", "65536"], "--port takes a number"],
    [["--prot", "1"], "--prot"],
  ])("%j is refused", async (args, message) => {
    expect(await run(...args)).toEqual({ out: "", error: expect.stringContaining(message), code: 1 });
  });

  test("a port in use is reported", async () => {
    const { port } = new URL(serviceUrl);
    expect(await run("--port", port)).toEqual({ out: "", error: expect.stringContaining(port), code: 1 });
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s ends it", async (signal) => {
    const child = start("--port", "0");
    await addressOf(child);
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});
