import { expect, test } from "vitest";
import { input, MESSAGE, message, span } from "./sample-spans.ts";
import { why } from "./why.ts";

const START = "2".repeat(32);

/** The parts of a message's wait for a start, in ms, at 10 s after the message was accepted. */
function partsOfStart(setupEndMs: number | null, endMs: number | null, warmUp: "process" | "workspace") {
  const inTrace = { trace: START };
  const inBootstrap = { ...inTrace, parent: "valet.runner.bootstrap" };
  const warmUpOf = {
    ...inTrace,
    parent: "valet.runner.opencode_start",
    attributes: { "valet.warm_up.scope": warmUp },
  };
  const spans = [
    span("valet.sandbox.spawn", 0, endMs, inTrace),
    span("valet.runner.bootstrap", 100, endMs, { ...inTrace, parent: "valet.sandbox.spawn" }),
    span("valet.runner.git_setup", 300, setupEndMs, inBootstrap),
    span("valet.runner.opencode_start", 200, endMs, inBootstrap),
    span("valet.runner.agent_warm_up", 3000, 4000, warmUpOf),
    span("valet.prompt", 0, endMs, { id: "p", attributes: { "valet.message.id": MESSAGE } }),
    span("valet.queue.wait", 0, endMs, { parent: "p", reasons: [[0, "sandbox_starting"]] }),
  ];
  const { parts } = why(input(message(endMs), spans, 10_000)).time;
  return Object.fromEntries((parts[0]?.parts ?? []).map(({ name, ms }) => [name, ms]));
}

test("a start whose agent waits for its workspace waits for the clone, and then for the agent", () => {
  expect(partsOfStart(9000, 10_000, "process")).toEqual({
    "sandbox.clone": 8700,
    "sandbox.agent_start": 1100,
    "sandbox.boot": 100,
    "sandbox.other": 100,
  });
});

test("a start whose agent waits for its workspace waits for the clone while both run", () => {
  expect(partsOfStart(null, null, "process")).toMatchObject({ "sandbox.clone": 9700, "sandbox.agent_start": 100 });
});

test("a start whose workspace is there before the agent's process waits for the agent alone", () => {
  const parts = partsOfStart(2000, 10_000, "workspace");
  expect(parts).toMatchObject({ "sandbox.agent_start": 9800 });
  expect(parts).not.toHaveProperty(["sandbox.clone"]);
});
