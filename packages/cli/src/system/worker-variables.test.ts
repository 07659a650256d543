import { WORKER_VARIABLES } from "@valet/shared/variables";
import { expect, test } from "vitest";
import { invalidVariable, workerVariables } from "./worker-variables.ts";

test("the Worker gets each of its variables that the local system does not set itself, and OpenTelemetry's", () => {
  const env = Object.fromEntries(Object.keys(WORKER_VARIABLES).map((name) => [name, "x"]));
  const passed = Object.keys(workerVariables({ ...env, OTEL_SERVICE_NAME: "x", PATH: "x", VALET_TOKEN: "x" }));
  expect(passed).toContain("VALET_TRACE_URL_TEMPLATE");
  expect(passed).toContain("OTEL_SERVICE_NAME");
  const left = ["PATH", "VALET_TOKEN", "PUBLIC_URL", "SANDBOX_BROKER_SECRET", "VALET_MODEL_API_KEY"];
  expect(passed.filter((name) => left.includes(name))).toEqual([]);
});

test.each([
  ["VALET_COMMIT_TRAILERS", "no", "must be `true` or `false`"],
  ["VALET_WEBHOOKS_ALLOW_PRIVATE", "1", "must be `true` or `false`"],
  ["VALET_ALLOW_FILE_REPOS", "TRUE", "must be `true` or `false`"],
  ["VALET_TRACE_URL_TEMPLATE", "jaeger", "must be an http or https URL with `{traceId}` in it"],
  ["VALET_GRACE_MS", "1s", "must be a whole number of milliseconds from 1 to 2147483647"],
  ["VALET_IDLE_TIMEOUT_MS", "15m", "must be a whole number of milliseconds from 1 to 2147483647"],
  ["VALET_RETENTION_DAYS", "0", "must be a number of days above 0, at most 36500"],
  ["VALET_MODEL_PRICES", "cheap", "must be INPUT/OUTPUT[/CACHE_READ[/CACHE_WRITE]], in USD per million tokens"],
])("an invalid %s is named with what is allowed", (name, value, allowed) => {
  expect(invalidVariable({ [name]: value })).toBe(`${name}: ${allowed}`);
  expect(invalidVariable({ [name]: "" })).toBeUndefined();
});
