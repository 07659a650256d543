import { expect, test } from "vitest";
import { toApiError, toResponse } from "./problem.ts";

test.each([
  ["an object that is overloaded", { overloaded: true, retryable: true }, 503, "10"],
  ["an object that was not reached", { retryable: true }, 503, "1"],
  ["anything else", {}, 500, null],
])("%s is told of without its text", async (_what, flags, status, retryAfter) => {
  const response = toResponse(toApiError(Object.assign(new Error("canary"), flags)));
  expect([response.status, response.headers.get("retry-after")]).toEqual([status, retryAfter]);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.text()).not.toContain("canary");
});

test.each(["canary", null, undefined])("what is thrown need not be an error: %s", (thrown) => {
  expect(toApiError(thrown).problem.status).toBe(500);
});
