import { expect, test } from "vitest";
import type { Env } from "./bindings.ts";
import { ConfigError, parseConfig, sandboxVariables, traceUrlTemplate } from "./config.ts";

const needed = {
  PUBLIC_URL: "https://valet.example/",
  SANDBOX_BROKER_URL: "https://broker.example",
  SANDBOX_BROKER_SECRET: "secret",
  VALET_MODEL: "valet/small",
  VALET_MODEL_BASE_URL: "https://models.example/v1",
};

test("what is needed suffices", () => {
  const { publicUrl, modelAccess, intervals } = parseConfig(needed);
  expect(publicUrl).toBe("https://valet.example");
  expect(modelAccess).toMatchObject({
    model: "valet/small",
    openAiCompatible: { baseUrl: "https://models.example/v1" },
  });
  expect(intervals.graceMs).toBe(30_000);
});

test.each([
  ["0.6/2.4", { input: 0.6, output: 2.4 }],
  ["1/2/0.5", { input: 1, output: 2, cacheRead: 0.5 }],
  ["1/2/0.5/1.25", { input: 1, output: 2, cacheRead: 0.5, cacheWrite: 1.25 }],
  ["", undefined],
])("the prices %j", (text, prices) => {
  const { openAiCompatible } = parseConfig({ ...needed, VALET_MODEL_PRICES: text }).modelAccess;
  expect(openAiCompatible?.prices).toEqual(prices);
});

test("keys for credentials are a list, the newest first, in either alphabet of base64", () => {
  const [one, two] = [Buffer.alloc(32, 0xff), Buffer.alloc(32, 0xfb)];
  const text = `${one.toString("base64url")}, ${two.toString("base64")}\n`;
  const { credentialKeys } = parseConfig({ ...needed, VALET_CREDENTIAL_KEYS: text });
  expect(credentialKeys.map((key) => Buffer.from(key))).toEqual([one, two]);
  expect(parseConfig(needed).credentialKeys).toEqual([]);
});

test("the bounds of a turn have defaults, and variables", () => {
  expect(parseConfig(needed).turnBounds).toEqual({
    maxModelCalls: 500,
    maxTurnMs: 6 * 3_600_000,
    pollingTools: ["list_sessions"],
  });
  const variables = {
    VALET_MAX_MODEL_CALLS: "20",
    VALET_MAX_TURN_MS: "60000",
    VALET_POLLING_TOOLS: "wait_for, ci_status",
  };
  expect(parseConfig({ ...needed, ...variables }).turnBounds).toEqual({
    maxModelCalls: 20,
    maxTurnMs: 60_000,
    pollingTools: ["wait_for", "ci_status"],
  });
});

test("what calls carry to providers, and how long content may be, have defaults, and variables", () => {
  expect(parseConfig(needed)).toMatchObject({
    providerContext: { traceparent: true, tracestateHosts: [] },
    contentMaxBytes: 16_384,
  });
  const variables = {
    VALET_PROVIDER_TRACEPARENT: "false",
    VALET_PROVIDER_TRACESTATE_HOSTS: "Gateway.example.com, 127.0.0.1:4000,",
    VALET_CONTENT_MAX_BYTES: "2048",
  };
  expect(parseConfig({ ...needed, ...variables })).toMatchObject({
    providerContext: { traceparent: false, tracestateHosts: ["gateway.example.com", "127.0.0.1:4000"] },
    contentMaxBytes: 2048,
  });
});

test.each([
  ["VALET_PROVIDER_TRACEPARENT", "canary", "Invalid option"],
  ["VALET_PROVIDER_TRACESTATE_HOSTS", "https://canary.example", "must be hosts"],
  ["VALET_CONTENT_MAX_BYTES", "255", "Too small"],
  ["VALET_CONTENT_MAX_BYTES", "65537", "Too big"],
  ["VALET_CONTENT_MAX_BYTES", "2048.5", "expected int"],
  ["VALET_CONTENT_MAX_BYTES", "canary", "expected number"],
  ["VALET_MAX_MODEL_CALLS", "0", "expected number"],
  ["PUBLIC_URL", undefined, "is not set"],
  ["SANDBOX_BROKER_URL", "ftp://canary", "Invalid URL"],
  ["VALET_GRACE_MS", "canary", "expected number"],
  ["VALET_MODEL_PRICES", "cheap-canary", "must be INPUT/OUTPUT"],
  ["VALET_MODEL", `canary/${"m".repeat(200)}`, "Too big"],
  ["VALET_MODEL_PRICES", "1", "must be INPUT/OUTPUT"],
  ["VALET_MODEL_PRICES", "1/2/3/4/5", "must be INPUT/OUTPUT"],
  ["VALET_CREDENTIAL_KEYS", "canary", "keys of 32 bytes in base64"],
  ["VALET_CREDENTIAL_KEYS", `${btoa("k".repeat(32))},`, "keys of 32 bytes in base64"],
])("%s as %j is refused by its name, without its value", (name, value, why) => {
  const parse = () => parseConfig({ ...needed, [name]: value });
  expect(parse).toThrow(ConfigError);
  expect(parse).toThrow(name);
  expect(parse).toThrow(why);
  expect(parse).not.toThrow("canary");
});

test("a sandbox is told how much its spans may hold, and nothing of the backend", () => {
  const env = {
    ...needed,
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: 64,
    OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "100",
    OTEL_SPAN_LINK_COUNT_LIMIT: "",
    OTEL_EXPORTER_OTLP_ENDPOINT: "https://otlp.example",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=canary",
  } as unknown as Env;
  expect(sandboxVariables(env, "https://valet.example", "ses_1", 2)).toEqual({
    VALET_SESSION_ID: "ses_1",
    VALET_GENERATION: "2",
    VALET_RUNNER_URL: "wss://valet.example/runner/ses_1",
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "64",
    OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "100",
  });
});

test.each([
  ["false", "0"],
  [false, "0"],
  ["true", undefined],
  [undefined, undefined],
])("a sandbox adds trailers to commits unless VALET_COMMIT_TRAILERS is false (%s)", (value, expected) => {
  const env = { ...needed, VALET_COMMIT_TRAILERS: value } as unknown as Env;
  expect(sandboxVariables(env, "https://valet.example", "ses_1", 1).VALET_COMMIT_TRAILERS).toBe(expected);
});

test.each([
  ["https://grafana.example/explore?trace={traceId}", true],
  ["http://127.0.0.1:16686/trace/{traceId}", true],
  ["https://jaeger.example/trace", false],
  ["javascript:alert('{traceId}')", false],
  ["/trace/{traceId}", false],
  ["", false],
])("the page links traces to %j: %s", (template, isTaken) => {
  expect(traceUrlTemplate({ VALET_TRACE_URL_TEMPLATE: template })).toBe(isTaken ? template : undefined);
});
