/**
 * The service that the W3C's Trace Context harness calls. It receives a JSON list of calls and makes them, each with
 * the request's context, continued by our tracer.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import {
  contextHeaders,
  extractFromHeaders,
  type Span,
  SpanKind,
  Tracer,
} from "../packages/shared/src/tracing/index.ts";

const HOST = "127.0.0.1";
const DEFAULT_PORT = 5000;
const MAX_BODY_BYTES = 1024 * 1024;
const MAX_CALLS = 100;
const CALL_TIMEOUT_MS = 10_000;

const HELP = `Usage: node tests/w3c-echo.ts [--port N]

Listens on ${HOST}, port ${DEFAULT_PORT} unless given, 0 for any free one, until SIGINT or SIGTERM. A POST of
  [{"url": "http://127.0.0.1:7777/x", "arguments": []}, …]
makes it POST each "arguments" as JSON to its "url", with the trace context of the request. Only loopback is called.

For the harness of https://github.com/w3c/trace-context:
  STRICT_LEVEL=2 SPEC_LEVEL=2 python test/test.py http://${HOST}:${DEFAULT_PORT}/
`;

interface Call {
  readonly url: URL;
  readonly body: string;
}

/** A request is invalid, with the status of its answer. */
class RequestError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

// The recorded spans are not examined here, only the forwarded context.
const tracer = new Tracer({ scope: { name: "w3c-echo" }, processor: { onStart() {}, onEnd() {} } });

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  // The distinct headers show whether there were two `traceparent` fields.
  const parent = extractFromHeaders(request.headersDistinct);
  const span = tracer.startSpan("POST", { kind: SpanKind.SERVER, parent });
  try {
    const results = [];
    for (const call of await readCalls(request)) results.push(await make(call, span));
    send(response, 200, results);
  } catch (error) {
    const status = error instanceof RequestError ? error.status : 500;
    send(response, status, { error: error instanceof Error ? error.message : String(error) });
  } finally {
    span.end();
  }
}

async function readCalls(request: IncomingMessage): Promise<Call[]> {
  if (request.method !== "POST") throw new RequestError(405, "only POST is answered");
  const body = await readBody(request);
  let list: unknown;
  try {
    list = JSON.parse(body);
  } catch {
    throw new RequestError(400, "the body is not JSON");
  }
  if (!Array.isArray(list)) throw new RequestError(400, 'the body is not a list of {"url", "arguments"}');
  if (list.length > MAX_CALLS) throw new RequestError(400, `more than ${MAX_CALLS} calls`);
  return list.map(readCall);
}

function readCall(item: unknown, index: number): Call {
  const { url, arguments: args = [] } = (item ?? {}) as { url?: unknown; arguments?: unknown };
  if (typeof url !== "string" || !URL.canParse(url)) throw new RequestError(400, `call ${index}: "url" is no URL`);
  const target = new URL(url);
  if (target.protocol !== "http:" || !isLoopback(target.hostname)) {
    throw new RequestError(403, `call ${index}: only http:// on loopback is called, not ${target.origin}`);
  }
  return { url: target, body: JSON.stringify(args) };
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Destroying a refused request would destroy the answer, too.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new RequestError(413, `the body is over ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function make({ url, body }: Call, parent: Span): Promise<{ url: string; status: number }> {
  return tracer.withSpan("POST", { kind: SpanKind.CLIENT, parent }, async (span) => {
    const headers = { "content-type": "application/json", ...contextHeaders(span.context) };
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    try {
      // A redirect could lead away from loopback.
      const answer = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
      await answer.body?.cancel();
      return { url: url.href, status: answer.status };
    } catch (error) {
      const { message, cause } = error as Error;
      const reason = cause instanceof Error ? cause.message : message;
      throw new RequestError(502, `${url.href} could not be called: ${reason}`);
    }
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  // The unread rest of a refused body would be taken for the next request.
  const connection = status === 200 ? {} : { connection: "close" };
  response.writeHead(status, { "content-type": "application/json", ...connection }).end(JSON.stringify(body));
}

function readArguments(): { port: number; help: boolean } {
  const options = { port: { type: "string" }, help: { type: "boolean", short: "h" } } as const;
  const { values } = parseArgs({ options });
  const port = values.port === undefined ? DEFAULT_PORT : Number(values.port || Number.NaN);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new TypeError(`--port takes a number from 0 to 65535, not "${values.port}"`);
  }
  return { port, help: values.help ?? false };
}

function listen(port: number): void {
  const server = createServer(serve);
  server.on("error", fail);
  server.listen(port, HOST, () => {
    process.stdout.write(`listening on http://${HOST}:${(server.address() as AddressInfo).port}/\n`);
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(0));
}

function fail(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

try {
  const { port, help } = readArguments();
  if (help) process.stdout.write(HELP);
  else listen(port);
} catch (error) {
  fail(error);
}
