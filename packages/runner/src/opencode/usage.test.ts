import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  costAttributes,
  priceAttributes,
  providerAttributes,
  readCost,
  readUsage,
  serverAttributes,
  splitModel,
  tokensToJudge,
  type Usage,
  usageAttributes,
} from "./usage.ts";

test("100 in, 40 of them cached, 20 out, 5 of them reasoning", () => {
  const tokens = { input: 60, output: 15, reasoning: 5, cache: { read: 40, write: 0 } };
  expect(usageAttributes(tokens)).toEqual({
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_write.input_tokens": 0,
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 5,
  });
});

test("cache writes count as input", () => {
  const tokens = { input: 1, output: 0, reasoning: 0, cache: { read: 10, write: 100 } };
  expect(usageAttributes(tokens)["gen_ai.usage.input_tokens"]).toBe(111);
});

test("a stream without usage has unknown usage", () => {
  const nothing = { input: 0, output: 0, reasoning: 0, cache: { read: 0, write: 0 } };
  expect(usageAttributes(nothing, true)).toEqual({});
  expect(usageAttributes({ ...nothing, total: 0 }, true)).toEqual({});
});

test("usage may be half known", () => {
  const onlyOutput = { input: 0, output: 7, reasoning: 0, cache: { read: 0, write: 0 } };
  expect(usageAttributes(onlyOutput, true)).toMatchObject({
    "gen_ai.usage.input_tokens": undefined,
    "gen_ai.usage.output_tokens": 7,
  });
  const onlyInput = { input: 7, output: 0, reasoning: 0, cache: { read: 0, write: 0 } };
  expect(usageAttributes(onlyInput, true)).toMatchObject({
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": undefined,
  });
  // An empty answer has no output tokens.
  expect(usageAttributes(onlyInput, false)["gen_ai.usage.output_tokens"]).toBe(0);
});

test("cached tokens or reasoning beyond the whole are reduced to the whole and marked as inconsistent", () => {
  // 150 of 100 cached, 20 out, as OpenCode reports it.
  expect(
    usageAttributes({ total: 120, input: 0, output: 20, reasoning: 0, cache: { read: 150, write: 0 } }, true),
  ).toEqual({
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 100,
    "gen_ai.usage.cache_write.input_tokens": 0,
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 0,
    "valet.llm.usage_inconsistent": true,
  });
  // 100 in, 50 of 20 out reasoning.
  expect(
    usageAttributes({ total: 120, input: 100, output: 0, reasoning: 50, cache: { read: 0, write: 0 } }, true),
  ).toEqual({
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.cache_write.input_tokens": 0,
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 20,
    "valet.llm.usage_inconsistent": true,
  });
});

test.each([
  ["cached tokens", { total: 120, input: 0, output: 20, reasoning: 0, cache: { read: 150, write: 0 } }],
  ["reasoning", { total: 120, input: 100, output: 0, reasoning: 50_000, cache: { read: 0, write: 0 } }],
  ["both", { total: 120, input: 0, output: 0, reasoning: 50, cache: { read: 150, write: 0 } }],
])("a cost that OpenCode calculated from more %s than the whole is unknown", (_what, tokens) => {
  expect(readCost(tokens, 0.5)).toBeUndefined();
});

test("a cost is known where only the provider's total is too small, or where all input was cached", () => {
  const tokens = { total: 110, input: 100, output: 20, reasoning: 0, cache: { read: 0, write: 0 } };
  expect(usageAttributes(tokens, true)).toMatchObject({ "valet.llm.usage_inconsistent": true });
  expect(readCost(tokens, 0.5)).toBe(0.5);
  expect(readCost({ ...tokens, total: 120, input: 0, cache: { read: 100, write: 0 } }, 0.5)).toBe(0.5);
});

test("a cost lacks the tokens of a kind without a price, if there were some", () => {
  const tokens = { total: 120, input: 60, output: 20, reasoning: 0, cache: { read: 40, write: 0 } };
  const of = (...unpriced: ("output" | "cacheRead" | "cacheWrite")[]) => costAttributes(tokens, 0.5, unpriced);
  const whole = { "valet.llm.cost_usd": 0.5, "valet.llm.cost_partial": undefined };
  expect(of()).toEqual(whole);
  expect(of("cacheWrite")).toEqual(whole);
  expect(of("cacheWrite", "cacheRead")).toEqual({ ...whole, "valet.llm.cost_partial": true });
  const thought = { ...tokens, output: 0, reasoning: 20 };
  expect(costAttributes(thought, 0.5, ["output"])).toEqual({ ...whole, "valet.llm.cost_partial": true });
  expect(costAttributes(tokens, 0, ["cacheRead"])).toEqual({});
});

test("impossible counts are unknown and marked as inconsistent; the others are kept", () => {
  const told = { total: 120, input: 100, output: 20, reasoning: 0, cache: { read: 0, write: 0 } };
  const read = (more: object) => {
    const tokens = { ...told, ...more };
    const { isConsistent, ...usage } = readUsage(tokens, true) ?? { isConsistent: undefined };
    expect(isConsistent).toBe(false);
    expect(readCost(tokens, 0.5)).toBeUndefined();
    return Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== undefined));
  };
  expect(read({ input: 1e18, total: 1e18 })).toEqual({ output: 20, reasoning: 0 });
  // It follows from the total.
  expect(read({ input: 1e18 })).toEqual({ input: 100, output: 20, reasoning: 0 });
  expect(read({ input: 0, cache: { read: 1e18, write: 0 } })).toEqual({ input: 100, output: 20, reasoning: 0 });
  expect(read({ output: 19.5, reasoning: 0.5 })).toEqual({ input: 100, output: 20, cacheRead: 0, cacheWrite: 0 });
  expect(read({ input: 100.5, output: 20.25, total: 120.75 })).toEqual({});
  expect(read({ input: -5, total: undefined })).toEqual({ output: 20, reasoning: 0 });
  // As OpenCode replaces negative counts by 0.
  expect(read({ input: 0, output: 0, total: -105 })).toEqual({});
  expect(read({ input: 5e9, output: 5e9, total: 1e10 })).toEqual({});
  expect(readCost(told, 0.5)).toBe(0.5);
  expect(readCost(told, 0)).toBeUndefined();
  // A repository's configuration may name any price.
  for (const usd of [1e300, Number.POSITIVE_INFINITY, Number.NaN]) expect(readCost(told, usd)).toBeUndefined();
});

test("the provider's own counts are judged if they are impossible, since OpenCode replaces negative ones by 0", () => {
  const told = { total: 120, input: 100, output: 20, reasoning: 0, cache: { read: 0, write: 0 } };
  const cached = tokensToJudge(told, { ...told, input: 105, cache: { read: -5, write: 0 } });
  expect(readUsage(cached, true)).toMatchObject({ input: 100, output: 20, cacheRead: undefined, isConsistent: false });
  const thought = tokensToJudge(told, { ...told, output: 25, reasoning: -5 });
  expect(readUsage(thought, true)).toMatchObject({ input: 100, output: 20, reasoning: undefined, isConsistent: false });
  expect(readCost(thought, 0.5)).toBeUndefined();
  expect(tokensToJudge(told, { ...told, total: 119, output: 19 })).toBe(told);
  expect(tokensToJudge(told, undefined)).toBe(told);
});

test("for any counts, the reported ones are possible, and no part exceeds its whole", () => {
  const amount = fc.oneof(fc.nat(1000), fc.double(), fc.constantFrom(1e18, -1, 0.5, 2 ** 53));
  const tokens = fc.record({
    total: fc.option(amount, { nil: undefined }),
    input: amount,
    output: amount,
    reasoning: amount,
    cache: fc.record({ read: amount, write: amount }),
  });
  fc.assert(
    fc.property(tokens, fc.boolean(), (told, hasContent) => {
      const { isConsistent: _, ...usage } = readUsage(told, hasContent) ?? { isConsistent: true };
      for (const value of Object.values(usage)) {
        if (value !== undefined) expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
      }
      const { input, output, cacheRead = 0, cacheWrite = 0, reasoning = 0 } = usage as Partial<Usage>;
      if (input !== undefined) expect(cacheRead + cacheWrite).toBeLessThanOrEqual(input);
      if (output !== undefined) expect(reasoning).toBeLessThanOrEqual(output);
    }),
  );
});

test("for any counts of a provider, no part exceeds its whole", () => {
  const amount = fc.nat(1000);
  const told = fc.record({
    prompt: amount,
    completion: amount,
    cacheRead: amount,
    cacheWrite: amount,
    reasoning: amount,
  });
  fc.assert(
    fc.property(told, fc.boolean(), ({ prompt, completion, cacheRead, cacheWrite, reasoning }, hasTotal) => {
      // As OpenCode 1.18 reports it.
      const tokens = {
        ...(hasTotal && { total: prompt + completion }),
        input: Math.max(0, prompt - cacheRead - cacheWrite),
        output: Math.max(0, completion - reasoning),
        reasoning,
        cache: { read: cacheRead, write: cacheWrite },
      };
      const usage = readUsage(tokens, true);
      if (usage === undefined) return;
      const { input = 0, output = 0 } = usage;
      expect((usage.cacheRead ?? 0) + (usage.cacheWrite ?? 0)).toBeLessThanOrEqual(input);
      expect(usage.reasoning).toBeLessThanOrEqual(output);
      const isConsistent = cacheRead + cacheWrite <= prompt && reasoning <= completion;
      if (hasTotal && prompt + completion > 0) expect(usage.isConsistent).toBe(isConsistent);
      if (isConsistent && prompt > 0 && completion > 0)
        expect(usage).toMatchObject({ input: prompt, output: completion });
    }),
  );
});

test("a price that OpenCode does not know, for which it says 0, is absent", () => {
  expect(priceAttributes({ input: 3, cacheRead: 0.3, cacheWrite: 0 })).toEqual({
    "valet.llm.price.input": 3,
    "valet.llm.price.cache_read": 0.3,
  });
  expect(priceAttributes(undefined)).toEqual({});
});

test("providers have the conventions' names, under both keys", () => {
  expect(providerAttributes("amazon-bedrock")).toEqual({
    "gen_ai.provider.name": "aws.bedrock",
    "gen_ai.system": "aws.bedrock",
  });
  expect(providerAttributes("constructor-labs")["gen_ai.provider.name"]).toBe("constructor-labs");
  expect(providerAttributes("toString")["gen_ai.provider.name"]).toBe("toString");
});

test("a model's name may contain slashes", () => {
  expect(splitModel("openrouter/org/model")).toEqual({ providerID: "openrouter", modelID: "org/model" });
  for (const bad of ["model", "/model", "provider/", ""]) expect(splitModel(bad)).toBeUndefined();
});

test("the deployment's own endpoint has OpenAI's provider name, and its host", () => {
  expect(providerAttributes("valet")["gen_ai.provider.name"]).toBe("openai");
  expect(serverAttributes("https://models.example/v1")).toEqual({
    "server.address": "models.example",
    "server.port": 443,
  });
  expect(serverAttributes("http://user:key@[::1]:8080/v1")).toEqual({ "server.address": "::1", "server.port": 8080 });
  expect([serverAttributes(undefined), serverAttributes("no address")]).toEqual([{}, {}]);
});
