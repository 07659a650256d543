import { expect, test } from "vitest";
import { providerAttributes, splitModel, usageAttributes } from "./usage.ts";

test("100 in, 40 of them cached, 20 out, 5 of them reasoning", () => {
  const tokens = { input: 60, output: 15, reasoning: 5, cache: { read: 40, write: 0 } };
  expect(usageAttributes(tokens)).toEqual({
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 5,
  });
});

test("what is written to the cache is input too", () => {
  const tokens = { input: 1, output: 0, reasoning: 0, cache: { read: 10, write: 100 } };
  expect(usageAttributes(tokens)["gen_ai.usage.input_tokens"]).toBe(111);
});

test("providers have the conventions' names, under both keys", () => {
  expect(providerAttributes("amazon-bedrock")).toEqual({
    "gen_ai.provider.name": "aws.bedrock",
    "gen_ai.system": "aws.bedrock",
  });
  expect(providerAttributes("constructor-labs")["gen_ai.provider.name"]).toBe("constructor-labs");
  expect(providerAttributes("toString")["gen_ai.provider.name"]).toBe("toString");
});

test("a model's name may hold slashes", () => {
  expect(splitModel("openrouter/org/model")).toEqual({ providerID: "openrouter", modelID: "org/model" });
  for (const bad of ["model", "/model", "provider/", ""]) expect(splitModel(bad)).toBeUndefined();
});
