import { expect, test } from "vitest";
import { ProviderStream } from "./provider-usage.ts";

/** Returns a stream of these events, read in pieces of a few bytes. */
function readStream(...events: object[]): ProviderStream {
  const stream = new ProviderStream();
  const bytes = new TextEncoder().encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  for (let at = 0; at < bytes.length; at += 7) stream.read(bytes.subarray(at, at + 7));
  return stream;
}

test("Chat Completions", () => {
  const { tokens, finish } = readStream(
    { choices: [{ delta: { content: "Hällo" }, finish_reason: null }] },
    { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
    {
      choices: [],
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        prompt_tokens_details: { cached_tokens: 40 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
    },
  );
  expect(finish).toBe("tool_calls");
  expect(tokens).toEqual({ total: 120, input: 60, output: 15, reasoning: 5, cache: { read: 40, write: 0 } });
});

test("Anthropic's Messages, whose input excludes the cache", () => {
  const usage = { input_tokens: 60, cache_read_input_tokens: 40, cache_creation_input_tokens: 10, output_tokens: 1 };
  const { tokens, finish } = readStream(
    { type: "message_start", message: { usage } },
    { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 20 } },
  );
  expect(finish).toBe("tool_use");
  expect(tokens).toEqual({ total: 130, input: 60, output: 20, reasoning: 0, cache: { read: 40, write: 10 } });
});

test("Responses", () => {
  const { tokens } = readStream({
    type: "response.completed",
    response: {
      usage: {
        input_tokens: 100,
        output_tokens: 20,
        input_tokens_details: { cached_tokens: 40 },
        output_tokens_details: { reasoning_tokens: 5 },
      },
    },
  });
  expect(tokens).toEqual({ total: 120, input: 60, output: 15, reasoning: 5, cache: { read: 40, write: 0 } });
});

test.each([
  ["nothing", []],
  ["no usage", [{ choices: [{ delta: {}, finish_reason: "stop" }] }]],
  ["half of the usage", [{ usage: { completion_tokens: 7 } }]],
  ["counts that are not numbers", [{ usage: { prompt_tokens: "many", completion_tokens: -1 } }]],
  ["another shape", [{ usage: [1, 2] }, { usage: null }]],
])("of a stream with %s, the tokens are unknown", (_what, events) => {
  expect(readStream(...events).tokens).toBeUndefined();
});

test("impossible counts can be reported, and stay impossible", () => {
  const { tokens } = readStream({ usage: { prompt_tokens: 1.7e308, completion_tokens: 1.7e308 } });
  expect(Number.isFinite(tokens?.total)).toBe(true);
  expect(Math.min(tokens?.input ?? 0, tokens?.output ?? 0)).toBeGreaterThan(1e15);
});

test("negative counts of parts stay so, and do not change the sum", () => {
  const usage = { prompt_tokens: 100, completion_tokens: 20 };
  const { tokens: cached } = readStream({ usage: { ...usage, prompt_tokens_details: { cached_tokens: -5 } } });
  expect(cached).toMatchObject({ total: 120, output: 20, cache: { read: -5 } });
  const { tokens: thought } = readStream({ usage: { ...usage, completion_tokens_details: { reasoning_tokens: -5 } } });
  expect(thought).toMatchObject({ total: 120, input: 100, reasoning: -5 });
});

test("text that is not an event stream is ignored", () => {
  const stream = new ProviderStream();
  for (const text of ['<html>"usage"</html>\n', 'data: {"usage": {\n', "data: [DONE]\n", "\u0000\n"]) {
    stream.read(new TextEncoder().encode(text));
  }
  expect(stream.tokens).toBeUndefined();
  expect(stream.finish).toBeUndefined();
});
