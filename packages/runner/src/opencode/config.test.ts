import type { ModelAccess } from "@valet/shared/protocol/runner-link";
import { expect, test } from "vitest";
import { openCodeConfig, openCodeEnvironment } from "./config.ts";

const access: ModelAccess = {
  model: "valet/org/model:7b",
  openAiCompatible: { baseUrl: "http://127.0.0.1:9/v1", apiKey: "secret-key", models: ["valet/other", "openai/gpt"] },
  providerKeys: { OPENAI_API_KEY: "secret-openai" },
};

test("the endpoint's models are named, its key is not", () => {
  const config = openCodeConfig(access);
  expect(config).toMatchObject({
    model: "valet/org/model:7b",
    permission: { "*": "allow" },
    provider: { valet: { options: { baseURL: "http://127.0.0.1:9/v1", apiKey: "{env:VALET_MODEL_API_KEY}" } } },
  });
  expect(Object.keys(config.provider?.valet.models ?? {})).toEqual(["org/model:7b", "other"]);
  expect(JSON.stringify(config)).not.toContain("secret");
});

test("without an endpoint there is no provider of ours", () => {
  expect(openCodeConfig({ model: "anthropic/claude", providerKeys: {} })).not.toHaveProperty("provider");
});

test("nothing about telemetry, the link or another turn's context is passed on; keys are", () => {
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
