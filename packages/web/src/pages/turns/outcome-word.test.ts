import { expect, test } from "vitest";
import { outcomeWord } from "./outcome-word.ts";

test("the first cause of a failure comes before its error type, and that before the outcome", () => {
  const error_type = "model_chain_exhausted";
  expect(outcomeWord({ outcome: "error", error_type, error_cause: "provider_failed" })).toBe("provider_failed");
  expect(outcomeWord({ outcome: "error", error_type, error_cause: null })).toBe(error_type);
  expect(outcomeWord({ outcome: "ok", error_type: null, error_cause: null })).toBe("ok");
});
