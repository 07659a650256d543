import { WORKER_VARIABLES } from "@valet/shared/variables";
import { expect, test } from "vitest";
import type { Env } from "./bindings.ts";
import {
  allowsFileRepos,
  allowsPrivateHosts,
  ConfigError,
  parseCapacity,
  parseConfig,
  requireConfig,
  sandboxVariables,
  traceUrlTemplate,
} from "./config.ts";

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
  ["VALET_PROVIDER_TRACEPARENT", "canary", "must be `true` or `false`"],
  ["VALET_PROVIDER_TRACESTATE_HOSTS", "https://canary.example", "must be hosts"],
  ["VALET_CONTENT_MAX_BYTES", "255", "must be a whole number of bytes from 256 to 65536"],
  ["VALET_CONTENT_MAX_BYTES", "65537", "must be a whole number of bytes"],
  ["VALET_CONTENT_MAX_BYTES", "2048.5", "must be a whole number of bytes"],
  ["VALET_CONTENT_MAX_BYTES", "canary", "must be a whole number of bytes"],
  ["VALET_MAX_MODEL_CALLS", "0", "must be a whole number from 1 to 1000000"],
  ["PUBLIC_URL", undefined, "is not set"],
  ["SANDBOX_BROKER_URL", "ftp://canary", "must be an http or https URL"],
  ["VALET_GRACE_MS", "canary", "must be a whole number of milliseconds from 1 to 2147483647"],
  ["VALET_RETENTION_DAYS", true, "must be a number of days above 0"],
  ["VALET_POLLING_TOOLS", "canary".repeat(100), "must be at most 100 names"],
  ["VALET_MAX_AWAKE", "1.5", "must be a whole number above 0"],
  ["VALET_MAX_STARTING", "canary", "must be a whole number above 0"],
  ["VALET_ALLOW_FILE_REPOS", "canary", "must be `true` or `false`"],
  ["VALET_WEBHOOKS_ALLOW_PRIVATE", "1", "must be `true` or `false`"],
  ["VALET_COMMIT_TRAILERS", "canary", "must be `true` or `false`"],
  ["VALET_TRACE_URL_TEMPLATE", "https://canary.example/trace", "must be an http or https URL with `{traceId}` in it"],
  ["VALET_TRACE_URL_TEMPLATE", "javascript:canary('{traceId}')", "must be an http or https URL with `{traceId}` in it"],
  ["VALET_TRACE_URL_TEMPLATE", "/canary/{traceId}", "must be an http or https URL with `{traceId}` in it"],
  ["VALET_MODEL_PRICES", "cheap-canary", "must be INPUT/OUTPUT"],
  ["VALET_MODEL", `canary/${"m".repeat(200)}`, "must be `provider/model`"],
  ["VALET_MODEL_PRICES", "1", "must be INPUT/OUTPUT"],
  ["VALET_MODEL_PRICES", "1/2/3/4/5", "must be INPUT/OUTPUT"],
  ["VALET_CREDENTIAL_KEYS", "canary", "keys of 32 bytes in base64"],
  ["VALET_CREDENTIAL_KEYS", `${btoa("k".repeat(32))},`, "keys of 32 bytes in base64"],
])("%s as %j is refused by its name, without its value", (name, value, why) => {
  const parse = () => requireConfig({ ...needed, [name]: value });
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

test.each(["https://grafana.example/explore?trace={traceId}", "http://127.0.0.1:16686/trace/{traceId}"])(
  "the page links traces to %s",
  (template) => {
    expect(traceUrlTemplate({ VALET_TRACE_URL_TEMPLATE: template })).toBe(template);
    expect(traceUrlTemplate({ VALET_TRACE_URL_TEMPLATE: "" })).toBeUndefined();
  },
);

test("what may be switched on is off or on by default, as the table says", () => {
  expect([allowsFileRepos({}), allowsPrivateHosts({ VALET_WEBHOOKS_ALLOW_PRIVATE: "" })]).toEqual([false, false]);
  expect([
    allowsFileRepos({ VALET_ALLOW_FILE_REPOS: "true" }),
    allowsFileRepos({ VALET_ALLOW_FILE_REPOS: true }),
  ]).toEqual([true, true]);
});

test("any variable of the table but a secret can be invalid, and is refused then; an empty one counts as not set", () => {
  const anyText = ["SANDBOX_BROKER_SECRET", "VALET_MODEL_API_KEY"];
  for (const [name, variable] of Object.entries(WORKER_VARIABLES)) {
    const isText = anyText.includes(name);
    const invalid = isText ? { some: "object" } : "∞,".repeat(200);
    expect(() => requireConfig({ ...needed, [name]: invalid }), name).toThrow(`${name}: must be`);
    const empty = () => requireConfig({ ...needed, [name]: "" });
    if ("required" in variable) expect(empty, name).toThrow(`${name}: is not set`);
    else expect(empty, name).not.toThrow();
  }
  expect(parseCapacity({ VALET_MAX_AWAKE: "" })).toEqual({ awake: Infinity, starting: Infinity });
});
