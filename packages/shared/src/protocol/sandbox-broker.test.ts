/** What the contract lets through and what not; that the broker keeps to it, its own tests show. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BrokerProblem, CreateSandbox, EntrypointInput, SandboxAnswer } from "./sandbox-broker.ts";

const REQUEST = { sessionId: "s1", generation: 1, env: {}, runnerToken: "token" };
const SANDBOX = {
  id: "sb-1",
  sessionId: "s1",
  generation: 1,
  state: "running",
  driver: "local",
  createdAt: "2026-01-02T03:04:05.678Z",
  restartCount: 0,
};

const refuses = (change: object) => !CreateSandbox.safeParse({ ...REQUEST, ...change }).success;

test("any valid request is parsed unchanged", () => {
  const name = fc
    .stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,30}$/)
    .filter((each) => !/^OTEL_EXPORTER_|^__proto__$/.test(each));
  const request = fc.record(
    {
      sessionId: fc.stringMatching(/^[\w.:-]{1,128}$/),
      generation: fc.integer({ min: 1 }),
      env: fc.dictionary(
        name,
        fc.string({ unit: "binary" }).map((each) => each.replaceAll("\0", "")),
        { noNullPrototype: true },
      ),
      runnerToken: fc.stringMatching(/^[!-~]{1,512}$/),
      snapshotId: fc.stringMatching(/^[\w-]{1,64}$/),
    },
    { requiredKeys: ["sessionId", "generation", "env", "runnerToken"] },
  );
  fc.assert(
    fc.property(request, (each) => {
      expect(CreateSandbox.parse(each)).toEqual(each);
    }),
  );
});

test("a sandbox's environment can contain no telemetry backend and no key of one", () => {
  for (const name of ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"]) {
    expect(refuses({ env: { [name]: "x" } })).toBe(true);
  }
  expect(refuses({ env: { TRACEPARENT: "x", OTEL_SERVICE_NAME: "x" } })).toBe(false);
});

test("sizes are measured in bytes, including names", () => {
  const half = "x".repeat(32 * 1024);
  expect(refuses({ env: { A: half } })).toBe(false);
  expect(refuses({ env: { A: `${half}x` } })).toBe(true);
  expect(refuses({ env: { A: half, B: half, C: half, D: half.slice(4) } })).toBe(false);
  expect(refuses({ env: { A: half, B: half, C: half, D: half.slice(3) } })).toBe(true);
  expect(refuses({ env: { A: "é".repeat(32 * 1024), B: "é".repeat(32 * 1024), C: "x" } })).toBe(true);
});

test("no id can be a path", () => {
  for (const id of ["..", "a/b", "a\\b", "", ".", "a\0", "a\n", "x".repeat(65)])
    expect(refuses({ snapshotId: id })).toBe(true);
});

test("the broker refuses unknown fields; a caller ignores them", () => {
  expect(refuses({ later: 1 })).toBe(true);
  expect(SandboxAnswer.parse({ sandbox: { ...SANDBOX, later: 1 }, later: 1 })).toEqual({ sandbox: SANDBOX });
  expect(EntrypointInput.parse({ token: "t", restartCount: 0, later: 1 })).toEqual({ token: "t", restartCount: 0 });
  const input = { token: "t", restartCount: 1, restartCause: "sandbox_out_of_processes" } as const;
  expect(EntrypointInput.parse(input)).toEqual(input);
  for (const restartCause of ["later", 1]) {
    expect(EntrypointInput.parse({ ...input, restartCause })).toEqual({ token: "t", restartCount: 1 });
  }
  const problem = { type: "urn:valet:broker:later", title: "Later", status: 500, code: "later" };
  expect(BrokerProblem.parse(problem)).toEqual({ ...problem, code: "internal" });
});
