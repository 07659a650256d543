/**
 * Decides what follows from the states of a workflow's steps. Pure.
 *
 * A workflow whose runner was lost is retried once, like a message, but only if that is safe. It continues with the first step
 * that has no result.
 *
 * - No command runs twice. If that step is a command, nobody knows how far it came, so the workflow fails. So it does if a later command
 *   has begun: the step before it had ended, although its end was never stored.
 * - No step runs without the work of those before it. If the sandbox was lost, their files are gone, so a workflow that already
 *   had results fails.
 */
import { stepType, type WorkflowStepState } from "@valet/shared/protocol/workflow";
import type { ErrorType, Outcome } from "@valet/shared/spans";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { WorkflowBody } from "../queue/job-store.ts";

export type StepStates = ReadonlyMap<number, WorkflowStepState>;

/** Returns how many steps failed. */
export function failedSteps(states: StepStates): number {
  return [...states.values()].filter(({ outcome }) => outcome === "error").length;
}

/** Returns the first step that has no result; `undefined` if nothing is left to do. */
export function nextStep({ steps, onFailure }: WorkflowBody, states: StepStates): number | undefined {
  if (onFailure === "stop" && failedSteps(states) > 0) return undefined;
  const index = steps.findIndex((_step, place) => !hasResult(states.get(place)));
  return index < 0 ? undefined : index;
}

/** Decides about a workflow whose runner was lost: it is `done`, runs `again`, or is `over` as a failure. */
export function afterLoss(
  workflow: WorkflowBody,
  states: StepStates,
  isSandboxGone: boolean,
): "done" | "again" | "over" {
  const next = nextStep(workflow, states);
  const step = next === undefined ? undefined : workflow.steps[next];
  if (next === undefined || step === undefined) return "done";
  if (stepType(step) === "command" || hasBegunCommand(workflow, states, next)) return "over";
  return next === 0 || !isSandboxGone ? "again" : "over";
}

/** Returns whether a command from step `next` on has begun. */
function hasBegunCommand({ steps }: WorkflowBody, states: StepStates, next: number): boolean {
  return steps.some((step, place) => {
    const state = states.get(place);
    return place >= next && stepType(step) === "command" && state !== undefined && state.outcome !== "skipped";
  });
}

/** Returns the outcome of a workflow that the runner reports as ended. If steps are left nevertheless, that is an error. */
export function outcomeOf(workflow: WorkflowBody, states: StepStates) {
  if (nextStep(workflow, states) !== undefined) return { outcome: "error", errorType: "_OTHER" } as const;
  if (failedSteps(states) > 0) return { outcome: "error", errorType: "workflow_step_failed" } as const;
  return { outcome: "ok", errorType: undefined } as const;
}

/** Returns the final state of a step that was running when its workflow ended early. */
export function endedStep(
  { index }: WorkflowStepState,
  outcome: Outcome,
  errorType: ErrorType | undefined,
): WorkflowStepState {
  const isLost = errorType === "runner_lost";
  const stepOutcome = isLost ? "lost" : outcome === "error" ? "error" : "aborted";
  return { index, status: "done", outcome: stepOutcome, ...withoutUndefined({ errorType }) };
}

/** Whether a step has ended by itself, or was stopped by the object: not with its runner, which died, or which somebody stopped. */
function hasResult(state: WorkflowStepState | undefined): boolean {
  return state?.status === "done" && state.outcome !== "lost" && state.errorType !== "runner_shutdown";
}
