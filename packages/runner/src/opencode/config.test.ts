import type { ModelAccess, ModelPrices } from "@valet/shared/protocol/model-access";
import { expect, test } from "vitest";
import { askedPermissions, openCodeConfig, openCodeEnvironment, overriddenSettings, usesCatalogue } from "./config.ts";

const access: ModelAccess = {
  model: "valet/org/model:7b",
  openAiCompatible: {
    baseUrl: "http://127.0.0.1:9/v1",
    apiKey: "secret-key",
    models: ["valet/other", "openai/gpt", "alone"],
  },
  providerKeys: { OPENAI_API_KEY: "secret-openai" },
};

test("the configuration contains the endpoint's models, but not its key", () => {
  const config = openCodeConfig(access);
  expect(config).toMatchObject({
    model: "valet/org/model:7b",
    permission: { "*": "allow" },
    provider: { valet: { options: { baseURL: "http://127.0.0.1:9/v1", apiKey: "{env:VALET_MODEL_API_KEY}" } } },
  });
  expect(Object.keys(config.provider?.valet.models ?? {})).toEqual(["org/model:7b", "other", "alone"]);
  expect(JSON.stringify(config)).not.toContain("secret");
});

test("a person is asked for the kinds that the session names, and for nothing else", () => {
  expect(openCodeConfig(access, askedPermissions(["commands", "web"])).permission).toEqual({
    "*": "allow",
    bash: "ask",
    webfetch: "ask",
    websearch: "ask",
  });
  expect(openCodeConfig(access, askedPermissions([])).permission).toEqual({ "*": "allow" });
});

test("the endpoint's models have the configured prices", () => {
  const costOf = (prices?: ModelPrices) => {
    const config = openCodeConfig({
      ...access,
      openAiCompatible: { baseUrl: "http://127.0.0.1:9/v1", prices } as never,
    });
    const model: { cost?: object } | undefined = config.provider?.valet.models["org/model:7b"];
    return model?.cost;
  };
  expect(costOf()).toBeUndefined();
  expect(costOf({ input: 2, output: 8 })).toEqual({ input: 2, output: 8, cache_read: 2, cache_write: 2 });
  const all = { input: 2, output: 8, cacheRead: 0.2, cacheWrite: 2.5 };
  expect(costOf(all)).toEqual({ input: 2, output: 8, cache_read: 0.2, cache_write: 2.5 });
});

test("with tools, the configuration names the plugin, and only the environment contains their secret", () => {
  const tools = { plugin: "file:///plugin.ts", url: "http://127.0.0.1:1/", secret: "secret-of-tools" };
  const config = openCodeConfig(access, {}, tools);
  expect(config).toMatchObject({ plugin: [tools.plugin] });
  expect(JSON.stringify(config)).not.toContain(tools.secret);
  const inherited = { VALET_TOOLS_URL: "another's", VALET_TOOLS_SECRET: "another's" };
  const own = { password: "pw", config };
  expect(openCodeEnvironment(inherited, access, { ...own, tools })).toMatchObject({
    VALET_TOOLS_URL: tools.url,
    VALET_TOOLS_SECRET: tools.secret,
  });
  expect(openCodeEnvironment(inherited, access, own)).not.toHaveProperty("VALET_TOOLS_SECRET");
});

test("without an endpoint the configuration adds no provider", () => {
  expect(openCodeConfig({ model: "anthropic/claude", providerKeys: {} })).not.toHaveProperty("provider");
});

test("the environment contains the keys, but nothing about telemetry, the link or trace context", () => {
  const env = openCodeEnvironment(
    {
      PATH: "/bin",
      HOME: "/home",
      VALET_SANDBOX_ID: "sbx_1",
      VALET_RUNNER_URL: "ws://x",
      VALET_RUNNER_TOKEN: "t",
      OTEL_EXPORTER_OTLP_HEADERS: "key",
      OTEL_TRACES_SAMPLER: "always_on",
      OPENCODE_CONFIG_CONTENT: "{}",
      TRACEPARENT: "00-1",
      TRACESTATE: "a=b",
      BAGGAGE: "user=a",
      UNSET: undefined,
    },
    { ...access, providerKeys: { ...access.providerKeys, OTEL_EXPORTER_OTLP_ENDPOINT: "x", VALET_SANDBOX_ID: "x" } },
    { password: "pw", config: { a: 1 } },
  );
  expect(env).toEqual({
    PATH: "/bin",
    HOME: "/home",
    VALET_SANDBOX_ID: "sbx_1",
    OPENAI_API_KEY: "secret-openai",
    VALET_MODEL_API_KEY: "secret-key",
    OPENCODE_SERVER_PASSWORD: "pw",
    OPENCODE_CONFIG_CONTENT: '{"a":1}',
    OPENCODE_DISABLE_AUTOUPDATE: "1",
    OPENCODE_DISABLE_MODELS_FETCH: "1",
    OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
  });
});

test("OpenCode loads its catalogue only if something may open one of its providers", () => {
  const { openAiCompatible } = access;
  const own = { model: "valet/model", openAiCompatible, providerKeys: {} };
  const ours = {
    PATH: "/bin",
    HOME: "/root",
    VALET_RUNNER_TOKEN: "token",
    VALET_MODEL_API_KEY: "key",
    OTEL_X_TOKEN: "x",
  };
  expect(usesCatalogue(own, ours)).toBe(false);
  expect(usesCatalogue(access, ours)).toBe(true);
  expect(usesCatalogue({ model: "anthropic/claude", providerKeys: {} }, ours)).toBe(true);
  for (const name of ["OPENAI_API_KEY", "GITHUB_TOKEN", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"]) {
    expect(usesCatalogue(own, { ...ours, [name]: "x" })).toBe(true);
  }
});

test("the settings that a repository cannot have otherwise are those of the configuration that are not merged", () => {
  const own = { baseUrl: "http://models.test" };
  expect(overriddenSettings({ model: "valet/x", openAiCompatible: own, providerKeys: {} })).toEqual([
    "model",
    "share",
    "autoupdate",
    "snapshot",
  ]);
});
