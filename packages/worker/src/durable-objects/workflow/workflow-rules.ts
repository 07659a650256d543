/**
 * What follows from how far a workflow's steps have come. Pure.
 *
 * A workflow whose runner was lost is tried once more, as a message is, but only where that is safe. It goes on with the
 * first step that has no result. No command is begun twice: where that step is a command, nobody can say how far it came,
 * and the workflow has ended. Nor does a step run where the work of those before it is missing: with the sandbox their
 * files are gone, and a workflow that had results then has ended too.
 */
import { stepType, type WorkflowStepState } from "@valet/shared/protocol/workflow";
import type { ErrorType, Outcome } from "@valet/shared/spans";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { WorkflowBody } from "../queue/job-store.ts";

export type StepStates = ReadonlyMap<number, WorkflowStepState>;

/** How many steps failed. */
export function failedSteps(states: StepStates): number {
  return [...states.values()].filter(({ outcome }) => outcome === "error").length;
}

/** The first step that has no result; `undefined` where nothing is left to do. */
export function nextStep({ steps, onFailure }: WorkflowBody, states: StepStates): number | undefined {
  if (onFailure === "stop" && failedSteps(states) > 0) return undefined;
  const index = steps.findIndex((_step, place) => !hasResult(states.get(place)));
  return index < 0 ? undefined : index;
}

/** What becomes of a workflow whose runner was lost: all was done, it is tried again, or it ends there. */
export function afterLoss(
  workflow: WorkflowBody,
  states: StepStates,
  isSandboxGone: boolean,
): "done" | "again" | "over" {
  const next = nextStep(workflow, states);
  const step = next === undefined ? undefined : workflow.steps[next];
  if (step === undefined) return "done";
  if (stepType(step) === "command") return "over";
  return next === 0 || !isSandboxGone ? "again" : "over";
}

/** How a workflow ended that is said to have come to its end. One that has not, whoever says so, is not well. */
export function outcomeOf(workflow: WorkflowBody, states: StepStates) {
  if (nextStep(workflow, states) !== undefined) return { outcome: "error", errorType: "_OTHER" } as const;
  if (failedSteps(states) > 0) return { outcome: "error", errorType: "workflow_step_failed" } as const;
  return { outcome: "ok", errorType: undefined } as const;
}

/** The state of a step that was in work when its workflow ended otherwise. */
export function cutStep(
  { index }: WorkflowStepState,
  outcome: Outcome,
  errorType: ErrorType | undefined,
): WorkflowStepState {
  const isLost = errorType === "runner_lost" || errorType === "sandbox_gone";
  const cut = isLost ? "lost" : outcome === "error" ? "error" : "aborted";
  return { index, status: "done", outcome: cut, ...withoutUndefined({ errorType }) };
}

function hasResult(state: WorkflowStepState | undefined): boolean {
  return state?.status === "done" && state.outcome !== "lost";
}
