import { expect, test } from "vitest";
import { streamError } from "./stream-errors.ts";

test.each([
  ["OpenAI's quota", { error: { type: "insufficient_quota", code: "insufficient_quota", message: "gone" } }, 429],
  ["a rate limit", { error: { type: "rate_limit_error", message: "slow down" } }, 429],
  ["Anthropic's overload", { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }, 529],
  ["a wrong key", { error: { code: "invalid_api_key", type: "invalid_request_error" } }, 401],
  ["Anthropic's refusal", { type: "error", error: { type: "permission_error" } }, 401],
  ["too much context", { error: { code: "context_length_exceeded", type: "invalid_request_error" } }, 413],
  ["too much context, in words", { error: { type: "invalid_request", message: "prompt is too long" } }, 400],
  ["a code that is a status", { error: { code: 503, message: "no" } }, 503],
  ["a code that is a status in words", { error: { code: "429", message: "no" } }, 429],
  ["Google's word", { error: { status: "RESOURCE_EXHAUSTED" } }, 429],
  ["only a message", { error: { message: "Rate limit reached" } }, 429],
  ["only text", { error: "The server is overloaded" }, 529],
  ["Responses' event", { type: "error", code: "rate_limit_exceeded", message: "no" }, 429],
  ["a failed response", { type: "response.failed", response: { error: { code: "server_error" } } }, 500],
  ["a timeout", { type: "error", error: { type: "timeout_error" } }, 504],
  ["an unknown error", { error: { type: "api_error" } }, 500],
] as const)("%s", (_name, event, status) => {
  expect(streamError(event)?.status).toBe(status);
});

test.each([
  { choices: [{ delta: { content: "an error" } }] },
  { choices: [], error: null },
  { type: "response.completed", response: { error: null } },
  { type: "ping" },
  { error: "" },
])("%j is no error", (event) => {
  expect(streamError(event)).toBeUndefined();
});
