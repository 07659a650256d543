import { expect, test } from "vitest";
import { invitesFailover } from "../agent/errors.ts";
import { classifyError, classifyMessage, isAbort } from "./agent-errors.ts";

test.each([
  [{ name: "APIError", data: { statusCode: 401 } }, "provider_auth_failed"],
  [{ name: "APIError", data: { statusCode: 403 } }, "provider_auth_failed"],
  [{ name: "APIError", data: { statusCode: 400 } }, "provider_bad_request"],
  [{ name: "APIError", data: { statusCode: 404 } }, "provider_not_found"],
  [{ name: "APIError", data: { statusCode: 402 } }, "provider_out_of_credit"],
  [{ name: "APIError", data: { statusCode: 422 } }, "provider_bad_request"],
  [{ name: "APIError", data: { statusCode: 408 } }, "provider_timeout"],
  [{ name: "APIError", data: { statusCode: 413 } }, "context_overflow"],
  [{ name: "APIError", data: { statusCode: 429 } }, "provider_rate_limited"],
  [{ name: "APIError", data: { statusCode: 500 } }, "provider_failed"],
  [{ name: "APIError", data: { statusCode: 503 } }, "provider_overloaded"],
  [{ name: "APIError", data: { statusCode: 529 } }, "provider_overloaded"],
  [{ name: "APIError", data: { message: "Overloaded" } }, "provider_overloaded"],
  [{ name: "APIError" }, "provider_unavailable"],
  [{ name: "ProviderAuthError", data: { message: "no key" } }, "provider_auth_failed"],
  [{ name: "ContextOverflowError" }, "context_overflow"],
  [{ name: "MessageOutputLengthError" }, "output_limit"],
  [{ name: "ContentFilterError" }, "content_filtered"],
  [{ name: "UnknownError", data: { message: "ProviderModelNotFoundError" } }, "provider_not_found"],
  [{ name: "UnknownError", data: { message: "something else" } }, "opencode_error"],
  [
    { name: "UnknownError", data: { message: "JSON parsing failed: Text: {no.\nError message: …" } },
    "provider_bad_response",
  ],
  [{ name: "UnknownError", data: { message: 'Type validation failed: Value: {"foo":1}.' } }, "provider_bad_response"],
  [{ name: "UnknownError", data: { message: "Expected 'function.name' to be a string." } }, "provider_bad_response"],
  [
    { name: "UnknownError", data: { message: "AI_JSONParseError: JSON parsing failed: Text: <" } },
    "provider_bad_response",
  ],
  [{ name: "APIError", data: { message: "Invalid JSON response" } }, "provider_bad_response"],
  // The status takes precedence.
  [{ name: "APIError", data: { message: "Invalid JSON response", statusCode: 500 } }, "provider_failed"],
  [{ name: "UnknownError", data: { message: "The tool said: JSON parsing failed" } }, "opencode_error"],
] as const)("%j is %s", (error, type) => {
  expect(classifyError(error)).toBe(type);
});

test.each([
  ["JSON parsing failed: Text: <h1>429 Too Many Requests</h1>.", true, "provider_bad_response"],
  ["Rate limit reached", false, "provider_rate_limited"],
  ["Too Many Requests", true, "provider_rate_limited"],
  ["Provider is overloaded", false, "provider_overloaded"],
  ["Request timed out", true, "provider_timeout"],
  ["Connection reset by server", true, "provider_stream_cut"],
  ["Connection reset by server", false, "provider_unavailable"],
] as const)("a retry after %j, streaming: %j, is %s", (message, streaming, type) => {
  expect(classifyMessage(message, streaming)).toBe(type);
});

test("another model is only tried after failures of the provider", () => {
  expect(invitesFailover("provider_auth_failed")).toBe(true);
  expect(invitesFailover("context_overflow")).toBe(true);
  for (const type of ["opencode_error", "user_abort", "stuck_turn", undefined])
    expect(invitesFailover(type)).toBe(false);
  expect(isAbort({ name: "MessageAbortedError" })).toBe(true);
});
