import { expect, test } from "vitest";
import { toApiError, toResponse } from "./problem.ts";

test.each([
  ["an overloaded object", { overloaded: true, retryable: true }, 503, "10"],
  ["an unreachable object", { retryable: true }, 503, "1"],
  ["any other error", {}, 500, null],
])("%s is reported without its text", async (_what, flags, status, retryAfter) => {
  const response = toResponse(toApiError(Object.assign(new Error("canary"), flags), "POST"));
  expect([response.status, response.headers.get("retry-after")]).toEqual([status, retryAfter]);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.text()).not.toContain("canary");
});

test.each(["canary", null, undefined])("a thrown value need not be an Error: %s", (thrown) => {
  expect(toApiError(thrown, "POST").problem.status).toBe(500);
});
