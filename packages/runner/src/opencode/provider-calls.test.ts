import { expect, test } from "vitest";
import { ProviderCalls } from "./provider-calls.ts";

const call = { callId: "c", opencodeSessionId: "s", startedMs: 5 };

test("the status that an error in a stream implies replaces the response's own, which stays known", () => {
  const calls = new ProviderCalls();
  calls.add({ ...call, status: 200 });
  expect(calls.lastSince(5)).toMatchObject({ status: 200, httpStatus: 200 });
  calls.add({ ...call, status: 429, endedMs: 9 });
  expect(calls.lastSince(5)).toMatchObject({ status: 429, httpStatus: 200, endedMs: 9 });
  expect(calls.lastSince(6)).toBeUndefined();
});
