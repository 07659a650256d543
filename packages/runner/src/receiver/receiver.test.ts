/** The receiver answers as a Collector does. */
import { gzipSync } from "node:zlib";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { RefusedKind } from "@valet/shared/spans";
import { expect, onTestFinished, test } from "vitest";
import { CONTEXT, requestOf, START, setUpIntake, TOOL } from "../../test/foreign-spans.ts";
import {
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from "./proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";
import { type ReceiverOptions, SECRET_HEADER, startReceiver } from "./receiver.ts";

type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>;

const SPAN = { traceId: "1".repeat(32), spanId: "2".repeat(16) };
const BYTES = toBinary(ExportTraceServiceRequestSchema, requestOf([SPAN]));
const JSON_TEXT = JSON.stringify({
  resourceSpans: [
    {
      scopeSpans: [
        {
          spans: [
            { ...SPAN, name: "from a script", startTimeUnixNano: `${START}`, endTimeUnixNano: Number(START) },
            { ...SPAN, traceId: "0".repeat(32), spanId: "3".repeat(16), name: "invalid" },
          ],
        },
      ],
    },
  ],
});

function setUp(options: Partial<ReceiverOptions> = {}) {
  const { calls, intake, taken } = setUpIntake();
  const refused: [RefusedKind, number][] = [];
  const receiver = startReceiver({
    calls,
    intake,
    isFull: () => false,
    onRefused: (what, count) => refused.push([what, count]),
    ...options,
  });
  onTestFinished(() => receiver.stop());
  const secret = calls.begin(CONTEXT, START);
  const post = (body: Body, headers: Record<string, string> = {}, path = `/${TOOL}/v1/traces`, method = "POST") =>
    fetch(receiver.url + path, {
      method,
      body,
      headers: { "content-type": "application/x-protobuf", [SECRET_HEADER]: secret, ...headers },
    });
  return { receiver, post, taken, refused };
}

test("takes protobuf and JSON, packed or not, and answers in the same encoding", async () => {
  const { receiver, post, taken, refused } = setUp();
  expect(receiver.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const plain = await post(BYTES);
  expect([plain.status, plain.headers.get("content-type"), (await plain.bytes()).length]).toEqual([
    200,
    "application/x-protobuf",
    0,
  ]);
  expect((await post(gzipSync(BYTES), { "content-encoding": "gzip" })).status).toBe(200);
  const json = await post(JSON_TEXT, { "content-type": "application/json; charset=utf-8" });
  expect([json.status, await json.json()]).toEqual([
    200,
    {
      partialSuccess: {
        rejectedSpans: "1",
        errorMessage: "Valet rejected 1 span. 1: its trace id, span id or parent id is invalid.",
      },
    },
  ]);
  const twice = toBinary(ExportTraceServiceRequestSchema, requestOf([{ ...SPAN, spanId: TOOL }]));
  const partly = fromBinary(ExportTraceServiceResponseSchema, await (await post(twice)).bytes());
  expect(partly.partialSuccess).toMatchObject({ rejectedSpans: 1n });
  expect(taken().map(({ name }) => name)).toEqual(["work"]);
  expect(refused).toEqual([
    ["spans", 1],
    ["spans", 1],
  ]);
});

const json = { "content-type": "application/json" };
test.each<[string, number, Body, Record<string, string>, string?, string?]>([
  ["bytes that are no protobuf", 400, new Uint8Array([255, 255, 255]), {}],
  ["text that is no JSON", 400, "{", json],
  ["JSON that is no request", 400, '{"resourceSpans":3}', json],
  ["an id that is no hex", 400, '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"x"}]}]}]}', json],
  ["what is no gzip", 400, BYTES, { "content-encoding": "gzip" }],
  ["a wrong secret", 403, BYTES, { [SECRET_HEADER]: "wrong" }],
  ["another call", 404, BYTES, {}, `/${"9".repeat(16)}/v1/traces`],
  ["another path", 404, BYTES, {}, "/v1/traces"],
  ["logs", 404, BYTES, {}, `/${TOOL}/v1/logs`],
  ["metrics", 404, BYTES, {}, `/${TOOL}/v1/metrics`],
  ["another method", 405, BYTES, {}, `/${TOOL}/v1/traces`, "PUT"],
  ["a body that is too large", 413, new Uint8Array(5000), {}],
  ["a body that unpacks to too much", 413, gzipSync(new Uint8Array(100_000)), { "content-encoding": "gzip" }],
  ["an unknown content type", 415, BYTES, { "content-type": "text/plain" }],
  ["an unknown content encoding", 415, BYTES, { "content-encoding": "br" }],
])("refuses %s with %i", async (_what, status, body, headers, path, method) => {
  const { post, taken } = setUp({ maxBodyBytes: 4096 });
  const response = await post(body, headers, path, method);
  expect(response.status).toBe(status);
  expect(taken()).toEqual([]);
});

/** A field of protobuf whose value has a length. */
function field(number: number, value: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = [];
  for (let left = value.length; ; left >>>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  return Uint8Array.from(Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), value]));
}

/** As many messages without content as a body has room for. */
const repeated = (number: number) => new Uint8Array(Buffer.alloc(4_100_000, field(number, new Uint8Array())));

test.each<[string, Uint8Array<ArrayBuffer> | string]>([
  ["resources", repeated(1)],
  ["scopes", field(1, repeated(2))],
  ["spans", field(1, field(2, repeated(2)))],
  ["attributes", field(1, field(2, field(2, repeated(9))))],
  ["events", field(1, field(2, field(2, repeated(11))))],
  ["attributes of a resource", field(1, field(1, repeated(1)))],
  ["spans in JSON", `{"resourceSpans":[{"scopeSpans":[{"spans":[${"{},".repeat(1_300_000)}{}]}]}]}`],
])("refuses two million empty %s before it makes objects of them", async (_what, body) => {
  const { post, refused } = setUp();
  const encoding = { ...(typeof body === "string" && json), "content-encoding": "gzip" };
  const response = await post(gzipSync(body), encoding);
  expect(response.status).toBe(413);
  expect(await response.text()).toContain("The body may have 250000 messages.");
  expect(refused).toEqual([["trace_requests", 1]]);
});

test("takes a large batch of an SDK: 512 spans with 128 attributes each", async () => {
  const { post, taken } = setUp();
  const attributes = Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`app.key.${i}`, "some value"]));
  const spans = Array.from({ length: 512 }, (_, i) => ({
    traceId: "1".repeat(32),
    spanId: (i + 1).toString(16).padStart(16, "0"),
    attributes,
  }));
  const bytes = toBinary(ExportTraceServiceRequestSchema, requestOf(spans));
  expect((await post(gzipSync(bytes), { "content-encoding": "gzip" })).status).toBe(200);
  expect(taken()).toHaveLength(512);
});

test("refuses a request without a secret, and says so in its encoding", async () => {
  const { receiver } = setUp();
  const response = await fetch(`${receiver.url}/${TOOL}/v1/traces`, { method: "POST", headers: json, body: JSON_TEXT });
  expect([response.status, await response.json()]).toEqual([
    401,
    { code: 16, message: `The header ${SECRET_HEADER} is missing.` },
  ]);
});

test("counts whole requests that it refuses, by what they hold", async () => {
  const { post, refused } = setUp();
  await post("{", json);
  for (const signal of ["logs", "metrics"]) await post("{}", json, `/${TOOL}/v1/${signal}`);
  expect(refused).toEqual([
    ["trace_requests", 1],
    ["log_requests", 1],
    ["metric_requests", 1],
  ]);
});

test("asks to come again while the runner's own spans need the room", async () => {
  const { post, taken } = setUp({ isFull: () => true });
  const response = await post(BYTES);
  expect([response.status, response.headers.get("retry-after")]).toEqual([429, "1"]);
  expect(taken()).toEqual([]);
});

/** A body of which the first byte is sent, and the rest when it is released. */
function slowBody() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>();
  const writer = writable.getWriter();
  const sent = writer.write(BYTES.slice(0, 1)).catch(() => {});
  const release = async () => {
    await sent;
    await writer.write(BYTES.slice(1));
    await writer.close();
  };
  return { readable, release };
}

test("reads a bounded number of bodies at once", async () => {
  const { post } = setUp({ maxOpen: 1 });
  const { readable, release } = slowBody();
  const slow = post(readable);
  await expect.poll(async () => (await post(BYTES)).status, { interval: 20 }).toBe(429);
  await release();
  expect((await slow).status).toBe(200);
  expect((await post(BYTES)).status).toBe(200);
});

test("reads each body for a bounded time", async () => {
  const { post } = setUp({ maxOpen: 1, bodyTimeoutMs: 300 });
  expect((await post(slowBody().readable)).status).toBe(408);
  expect((await post(BYTES)).status).toBe(200);
});
