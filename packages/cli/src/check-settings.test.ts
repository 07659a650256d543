import { describe, expect, test } from "vitest";
import { checkModel, checkVariables, compareBackend } from "./check-settings.ts";
import type { Uses } from "./system/state.ts";

const SCRIPTED: Uses = { model: { name: "valet/scripted", isScripted: true }, backend: null };
const REAL: Uses = { model: { name: "anthropic/claude-sonnet-4-5", isScripted: false }, backend: "otlp.example.com" };
const KEY = { ANTHROPIC_API_KEY: "sk-ant-0" };

describe("the model", () => {
  test("is the running host's, whatever this shell's variables say", () => {
    expect(checkModel({}, REAL)).toEqual({
      name: "model",
      state: "ok",
      detail: expect.stringMatching(/^anthropic\/claude-sonnet-4-5; a host .* from this shell would use: scripted/),
      source: "the running host",
    });
    expect(checkModel({ ...KEY, VALET_MODEL: "anthropic/other" }, SCRIPTED)).toEqual({
      name: "model",
      state: "note",
      detail: "scripted; a host started from this shell would use: anthropic/other",
      source: "the running host",
    });
    expect(checkModel(KEY, REAL)).toMatchObject({ detail: "anthropic/claude-sonnet-4-5" });
    expect(checkModel({}, SCRIPTED)).toMatchObject({ detail: "scripted" });
  });

  test("is not missing when only this shell's variables are wrong", () => {
    expect(checkModel({ VALET_MODEL_BASE_URL: "http://localhost:1" }, REAL)).toMatchObject({ state: "ok" });
    expect(checkModel({ VALET_MODEL_BASE_URL: "http://localhost:1" }, undefined)).toMatchObject({ state: "missing" });
  });

  test.each([
    ["a key of any provider", { GROQ_API_KEY: "gsk_0", VALET_MODEL: "groq/llama" }, "ok"],
    ["a key of a provider without a default model", { GROQ_API_KEY: "gsk_0" }, "missing"],
    ["a model without an endpoint or key", { VALET_MODEL: "groq/llama" }, "missing"],
  ])("is reported as `up` would choose it: %s", (_what, env, state) => {
    expect(checkModel(env, undefined)).toMatchObject({ state });
  });

  test("is this shell's when no host runs, and the source says so", () => {
    expect(checkModel({}, undefined)).toMatchObject({ state: "note", source: "this shell's environment" });
    expect(checkModel(KEY, undefined)).toMatchObject({ state: "ok", source: "this shell's environment" });
  });

  test("is unknown when the host is of an earlier version", () => {
    expect(checkModel({}, null)).toMatchObject({ state: "note", detail: expect.stringMatching(/does not report/) });
  });
});

test("the backend in use is reported when this shell names another one", () => {
  const endpoint = (host: string) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: `https://${host}` });
  expect(compareBackend(endpoint("otlp.example.com"), REAL)).toEqual([]);
  expect(compareBackend({}, SCRIPTED)).toEqual([]);
  expect(compareBackend({}, undefined)).toEqual([]);
  expect(compareBackend({}, REAL)).toMatchObject([{ detail: expect.stringMatching(/^spans go to otlp.example.com;/) }]);
  expect(compareBackend(endpoint("a.example"), SCRIPTED)).toMatchObject([
    { detail: "spans stay in Valet; `backend` checks this shell's setting: a.example" },
  ]);
});

describe("the Worker's variables of this shell", () => {
  test.each([
    ["VALET_MODEL_PRICES", "canary"],
    ["VALET_RETENTION_DAYS", "0"],
    ["VALET_MAX_MODEL_CALLS", "-1"],
    ["VALET_IDLE_TIMEOUT_MS", "15m"],
    ["VALET_MODEL_BASE_URL", "canary"],
    ["VALET_MAX_AWAKE", "canary"],
    ["VALET_MODEL", `canary/${"m".repeat(200)}`],
  ])("are refused by their name, without their value: %s=%s", (name, value) => {
    const env = { ...KEY, [name]: value };
    expect(checkVariables(env, undefined)).toMatchObject([
      { state: "missing", detail: expect.stringContaining(`\`valet up\` would refuse ${name}: `) },
    ]);
    expect(checkVariables(env, REAL)).toMatchObject([{ state: "note", source: "this shell's environment" }]);
    expect(JSON.stringify(checkVariables(env, undefined))).not.toContain("canary");
  });

  test("are not mentioned while they are valid, empty, or set by Valet itself", () => {
    for (const env of [{}, KEY, { VALET_RETENTION_DAYS: "" }, { VALET_MODEL: "" }, { PUBLIC_URL: "nonsense" }]) {
      expect(checkVariables(env, undefined)).toEqual([]);
    }
  });
});
