import type { WorkflowStepState } from "@valet/shared/protocol/workflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { WorkflowBody } from "../queue/job-store.ts";
import { afterLoss, endedStep, nextStep, outcomeOf } from "./workflow-rules.ts";

const prompt = { name: "ask", prompt: "Do it." };
const command = { name: "run", run: "make" };

function workflow(steps: WorkflowBody["steps"], onFailure: WorkflowBody["onFailure"] = "stop"): WorkflowBody {
  return { name: "w", steps, onFailure };
}

function states(...outcomes: (WorkflowStepState["outcome"] | "running")[]): Map<number, WorkflowStepState> {
  return new Map(
    outcomes.map((outcome, index) => [
      index,
      outcome === "running" ? { index, status: "running" } : { index, status: "done", outcome },
    ]) as [number, WorkflowStepState][],
  );
}

const shutDown: ReadonlyMap<number, WorkflowStepState> = new Map([
  [0, { index: 0, status: "done", outcome: "aborted", errorType: "runner_shutdown" }],
]);

describe("the next step", () => {
  test.each([
    [states(), "stop", 0],
    [states("ok"), "stop", 1],
    [states("ok", "running"), "stop", 1],
    [states("ok", "lost"), "stop", 1],
    [states("ok", "ok"), "stop", undefined],
    [states("error"), "stop", undefined],
    [states("error"), "continue", 1],
    [states("error", "error"), "continue", undefined],
  ] as const)("after %o, %s: %s", (known, onFailure, next) => {
    expect(nextStep(workflow([prompt, command], onFailure), known)).toBe(next);
  });
});

describe("a workflow whose runner was lost", () => {
  test.each([
    ["is tried again from its start, with a prompt, wherever", [prompt, command], states("running"), true, "again"],
    ["is over where it was at a command", [command, prompt], states("running"), false, "over"],
    ["is over where its runner was stopped at a command", [command, prompt], shutDown, false, "over"],
    ["goes on with a prompt that its runner's stop cut short", [prompt, prompt], shutDown, false, "again"],
    ["is over, too, where nobody knows whether a command had begun", [command], states(), false, "over"],
    [
      "is over where a command had begun after a prompt whose end was lost",
      [prompt, command],
      states("running", "running"),
      false,
      "over",
    ],
    ["goes on with a prompt in the same sandbox", [command, prompt], states("ok", "running"), false, "again"],
    ["is over where the files of its earlier steps are gone", [command, prompt], states("ok", "running"), true, "over"],
    ["was done where every step has its result", [command, prompt], states("ok", "ok"), true, "done"],
    ["was done where one had failed", [command, prompt], states("error"), true, "done"],
  ] as const)("%s", (_what, steps, known, isSandboxGone, expected) => {
    expect(afterLoss(workflow([...steps]), known, isSandboxGone)).toBe(expected);
  });

  test("never runs a command twice, and no step without the files of the steps before it", () => {
    const anyStep = fc.constantFrom(prompt, command);
    const anyState = fc.constantFrom("ok" as const, "error" as const, "lost" as const, "running" as const);
    fc.assert(
      fc.property(
        fc.array(anyStep, { minLength: 1, maxLength: 6 }),
        fc.array(anyState, { maxLength: 6 }),
        fc.constantFrom("stop" as const, "continue" as const),
        fc.boolean(),
        (steps, outcomes, onFailure, isSandboxGone) => {
          const known = states(...outcomes.slice(0, steps.length));
          const body = workflow(steps, onFailure);
          if (afterLoss(body, known, isSandboxGone) !== "again") return;
          const next = nextStep(body, known) as number;
          expect(steps[next]).toBe(prompt);
          if (isSandboxGone) expect(next).toBe(0);
        },
      ),
    );
  });
});

test("a workflow fails if a step has failed, or if results are missing", () => {
  const failed = { outcome: "error", errorType: "workflow_step_failed" };
  expect(outcomeOf(workflow([prompt, command]), states("ok", "ok"))).toEqual({ outcome: "ok" });
  expect(outcomeOf(workflow([prompt, command]), states("error", "skipped"))).toEqual(failed);
  expect(outcomeOf(workflow([prompt, command], "continue"), states("error", "ok"))).toEqual(failed);
  for (const known of [states("ok"), states("ok", "running"), states("ok", "lost")]) {
    expect(outcomeOf(workflow([prompt, command]), known)).toEqual({ outcome: "error", errorType: "_OTHER" });
  }
});

test.each([
  ["error", "runner_lost", "lost"],
  ["error", "stuck_turn", "error"],
  ["aborted", "user_abort", "aborted"],
  ["superseded", "steered", "aborted"],
] as const)("a step that is running when its workflow ends with %s %s is %s", (outcome, errorType, expected) => {
  expect(endedStep({ index: 2, status: "running" }, outcome, errorType)).toEqual({
    index: 2,
    status: "done",
    outcome: expected,
    errorType,
  });
});
