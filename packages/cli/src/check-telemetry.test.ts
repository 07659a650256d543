import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { OtlpReceiver } from "../../shared/test/otlp-receiver.ts";
import { checkTelemetry, type Finding } from "./check-telemetry.ts";

const source = "this shell's environment";
const receivers: OtlpReceiver[] = [];
afterEach(async () => {
  for (const receiver of receivers.splice(0)) await receiver.close();
});

async function backend(status: number, headers: Record<string, string> = {}, body = "") {
  const receiver = await new OtlpReceiver(() => ({ status, headers, body })).listen();
  receivers.push(receiver);
  const { url, deliveries } = receiver;
  return { url, host: new URL(url).host, deliveries };
}

async function check(env: Record<string, string>): Promise<Finding[]> {
  return Promise.all(checkTelemetry(env));
}

test("without an endpoint, spans stay in Valet", async () => {
  expect(await check({})).toEqual([
    { name: "backend", state: "note", detail: expect.stringMatching(/spans stay/), source },
  ]);
});

test("the check sends the backend what an export sends: an empty request with the configured headers", async () => {
  const { url, host, deliveries } = await backend(200, { "content-type": "application/json" }, "{}");
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_HEADERS: "authorization=Basic%20a2V5" };
  expect(await check(env)).toEqual([{ name: "backend", state: "ok", detail: `${host} takes spans`, source }]);
  expect(deliveries.map(({ method, path, text }) => [method, path, text])).toEqual([
    ["POST", "/v1/traces", '{"resourceSpans":[]}'],
  ]);
  expect(deliveries[0]?.headers).toMatchObject({ authorization: "Basic a2V5", "content-type": "application/json" });
});

describe("what would keep spans from the backend is reported, with what to do", () => {
  test.each<[string, number, Record<string, string>, string, Finding["state"], RegExp]>([
    ["a wrong key", 401, {}, "", "missing", /HTTP 401; spans would be held: .*OTEL_EXPORTER_OTLP_HEADERS/],
    ["a wrong path", 404, {}, "", "missing", /HTTP 404; spans would be held: .*\/v1\/traces/],
    ["a redirect", 302, { location: "/login" }, "", "missing", /HTTP 302; spans would be held: redirects/],
    ["a login page", 200, { "content-type": "text/html" }, "<html>", "missing", /web page; spans would be held/],
    ["a busy backend", 503, {}, "", "missing", /HTTP 503; spans would wait/],
    ["a backend without OTLP/JSON", 415, {}, "", "missing", /HTTP 415; spans would be dropped: .*JSON/],
    ["a backend that rejects an empty request as malformed", 400, {}, "", "note", /refuses an empty request/],
    [
      "a backend that rejects spans in a success",
      200,
      { "content-type": "application/json" },
      '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"the tenant is over its limit"}}',
      "missing",
      /rejects its spans, with the message: the tenant is over its limit; they would be lost/,
    ],
    [
      "a backend that rejects spans and does not say how many",
      200,
      { "content-type": "application/json" },
      '{"partialSuccess":{"rejectedSpans":"all"}}',
      "missing",
      /rejects its spans, with the message: rejectedSpans is all, which is no count/,
    ],
    ["a text answer of another server", 200, {}, "hello", "note", /is it an OTLP endpoint/],
  ])("%s", async (_what, status, headers, body, state, detail) => {
    const { url, host } = await backend(status, headers, body);
    const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
    expect(finding).toMatchObject({ name: "backend", state, detail: expect.stringMatching(detail) });
    expect(finding?.detail).toContain(host);
  });

  test.each(["x", "{", " "])("an answer without end, of %j", async (text) => {
    const server = createServer((_request, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      const chunk = text.repeat(256 * 1024);
      const write = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", write);
      write();
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
    expect(finding).toMatchObject({ state: "note", detail: expect.stringMatching(/is it an OTLP endpoint\?/) });
    expect(finding?.detail).not.toContain("RangeError");
  });

  test("an answer that breaks off", async () => {
    const { url } = await backend(200, { "content-type": "application/json", "content-length": "100" }, "{");
    const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
    expect(finding).toMatchObject({
      state: "note",
      detail: expect.stringMatching(/unreadable answer.*OTLP endpoint\?/),
    });
  });

  test("nothing listens", async () => {
    const { url, host } = await backend(200);
    await receivers.pop()?.close();
    const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
    const detail = `${host}: nothing listens there; spans would wait`;
    expect(finding).toEqual({ name: "backend", state: "missing", detail, source });
  });

  test("a port that HTTP clients refuse", async () => {
    const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
    const detail =
      "127.0.0.1:9: bad port; spans would wait: no HTTP client uses this port, since it is another protocol's";
    expect(finding).toMatchObject({ state: "missing", detail });
  });

  test("the gRPC port", async () => {
    const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4317" });
    expect(finding).toMatchObject({ state: "missing", detail: expect.stringMatching(/gRPC/) });
  });
});

test.each([
  [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "canary:4318",
    /an http or https URL.*such as http:\/\/127\.0\.0\.1:4318; nothing is exp/,
  ],
  ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "canary.example/v1/traces", /nothing is exported until it is corrected/],
  ["OTEL_TRACES_EXPORTER", "canary", /must be otlp or none, since Valet has no other; nothing is exported/],
])("an invalid %s keeps spans from the backend: something is missing", async (name, value, detail) => {
  const findings = await check({ [name]: value });
  expect(findings.find((finding) => finding.name === name)).toMatchObject({
    state: "missing",
    detail: expect.stringMatching(detail),
  });
  expect(findings.at(-1)?.detail).toBe(`spans stay in Valet: correct ${name}`);
  expect(JSON.stringify(findings)).not.toContain("canary");
});

test("headers that cannot be read are missing where spans are sent without them, and a note where none are sent", async () => {
  const { url } = await backend(401);
  const OTEL_EXPORTER_OTLP_HEADERS = "canary";
  const [headers, missed] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_HEADERS });
  expect(headers).toMatchObject({
    state: "missing",
    detail: expect.stringMatching(/such as Authorization=Basic%20…; spans are sent without any, so without a key/),
  });
  expect(missed).toMatchObject({ name: "backend", state: "missing" });
  expect(await check({ OTEL_EXPORTER_OTLP_HEADERS })).toMatchObject([
    { name: "OTEL_EXPORTER_OTLP_HEADERS", state: "note" },
    { name: "backend", state: "note", detail: expect.stringMatching(/set OTEL_EXPORTER_OTLP_ENDPOINT/) },
  ]);
});

test("with tracing turned off no backend is asked", async () => {
  const { url, deliveries } = await backend(200, { "content-type": "application/json" }, "{}");
  const [finding] = await check({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: "true" });
  expect(finding).toMatchObject({ state: "note", detail: "there are no spans: OTEL_SDK_DISABLED turns tracing off" });
  expect(deliveries).toEqual([]);
});

test("variables that are invalid or not supported are named without their values", async () => {
  const findings = await check({
    OTEL_EXPORTER_OTLP_CERTIFICATE: "/canary.pem",
    OTEL_EXPORTER_OTLP_PROTOCOL: "canary",
    OTEL_TRACES_EXPORTER: "none",
  });
  expect(findings.map(({ name, state }) => [name, state]).toSorted()).toEqual([
    ["OTEL_EXPORTER_OTLP_CERTIFICATE", "note"],
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "note"],
    ["backend", "note"],
  ]);
  expect(JSON.stringify(findings)).not.toContain("canary");
  expect(JSON.stringify(findings)).toContain("NODE_EXTRA_CA_CERTS");
});
