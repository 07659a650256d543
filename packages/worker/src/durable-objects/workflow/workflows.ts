/** Stores the steps of the session's workflows, and builds the API's views of executions. */
import type { Failure } from "@valet/shared/protocol/failure";
import type { WorkflowStepView, WorkflowView } from "@valet/shared/protocol/session-view";
import { stepType, type WorkflowStepState } from "@valet/shared/protocol/workflow";
import { type ErrorType, knownErrorType, type Outcome } from "@valet/shared/spans";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { failedAs, failureIn } from "../core/failed-as.ts";
import type { JobRow, JobStore, WorkflowBody } from "../queue/job-store.ts";
import { type CapacityLine, viewJob } from "../queue/job-view.ts";
import type { WorkflowProgress } from "../queue/ports.ts";
import { afterLoss, endedStep, failedSteps, nextStep, outcomeOf, type StepStates } from "./workflow-rules.ts";

export class Workflows implements WorkflowProgress {
  readonly #sql: SqlStorage;
  readonly #jobs: JobStore;
  readonly #line: CapacityLine;

  constructor(sql: SqlStorage, jobs: JobStore, line: CapacityLine) {
    this.#sql = sql;
    this.#jobs = jobs;
    this.#line = line;
  }

  body(executionId: string): WorkflowBody {
    return this.#jobs.workflow(executionId);
  }

  states(executionId: string): StepStates {
    const rows = this.#sql.exec("SELECT step, state FROM workflow_steps WHERE execution_id = ?", executionId).toArray();
    return new Map(rows.map(({ step, state }) => [step as number, JSON.parse(state as string) as WorkflowStepState]));
  }

  /** Returns the outcome of an execution that the runner reports as ended. */
  outcome(executionId: string): ReturnType<typeof outcomeOf> & { readonly failure?: Failure } {
    const [body, states] = [this.body(executionId), this.states(executionId)];
    const outcome = outcomeOf(body, states);
    const first = [...states.values()].find((state) => state.outcome === "error");
    if (outcome.errorType !== "workflow_step_failed" || first === undefined) return outcome;
    const of = body.steps[first.index]?.name;
    // A step's own cause is the first one: why its last model failed.
    const cause = knownErrorType(first.cause ?? first.errorType ?? "");
    return { ...outcome, failure: withoutUndefined({ cause, of }) };
  }

  /** Returns the prompt and the agent's answer of each prompt step that began. */
  exchanges(executionId: string): (readonly [content: string, answer: string])[] {
    const states = this.states(executionId);
    return this.body(executionId).steps.flatMap((step, index) => {
      const state = states.get(index);
      const wasSaid = "prompt" in step && state !== undefined && state.outcome !== "skipped";
      return wasSaid ? [[step.prompt, state.output ?? ""] as const] : [];
    });
  }

  /** Begins an attempt: removes steps that an earlier one left without a result. @returns the step to begin with */
  begin(executionId: string): number {
    const first = nextStep(this.body(executionId), this.states(executionId)) ?? 0;
    this.#sql.exec("DELETE FROM workflow_steps WHERE execution_id = ? AND step >= ?", executionId, first);
    return first;
  }

  /**
   * Stores the state of a step that a runner reported. The first end counts.
   * @returns the step as it is now; `undefined` if nothing changed, or there is no such step
   */
  record(executionId: string, state: WorkflowStepState): WorkflowStepView | undefined {
    const step = this.body(executionId).steps[state.index];
    const known = this.states(executionId).get(state.index);
    if (step === undefined || known?.status === "done" || JSON.stringify(known) === JSON.stringify(state)) {
      return undefined;
    }
    this.#put(executionId, state);
    return viewStep(step, state, false, true);
  }

  afterLoss(executionId: string, isSandboxGone: boolean): ReturnType<typeof afterLoss> {
    return afterLoss(this.body(executionId), this.states(executionId), isSandboxGone);
  }

  lose(executionId: string): void {
    this.#endRunning(executionId, "lost", "runner_lost");
  }

  /** Ends a workflow, with the step that was running. @returns how many of its steps failed */
  end(executionId: string, outcome: Outcome, errorType: ErrorType | undefined): number {
    this.#endRunning(executionId, outcome, errorType);
    return failedSteps(this.states(executionId));
  }

  #endRunning(executionId: string, outcome: Outcome, errorType: ErrorType | undefined): void {
    for (const state of this.states(executionId).values()) {
      if (state.status === "running") this.#put(executionId, endedStep(state, outcome, errorType));
    }
  }

  /** @param detailed whether to include the output of the steps */
  view(row: JobRow, detailed = false): WorkflowView {
    const { name, steps, onFailure } = this.body(row.id);
    const states = this.states(row.id);
    return {
      ...viewJob(row, this.#line),
      name,
      onFailure,
      steps: steps.map((step, index) => viewStep(step, states.get(index), row.status === "done", detailed)),
    };
  }

  #put(executionId: string, state: WorkflowStepState): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO workflow_steps VALUES (?, ?, ?)",
      executionId,
      state.index,
      JSON.stringify(state),
    );
  }
}

/** @param isOver whether the workflow has ended: steps that never began count as skipped */
function viewStep(
  step: WorkflowBody["steps"][number],
  state: WorkflowStepState | undefined,
  isOver: boolean,
  detailed: boolean,
): WorkflowStepView {
  const what = { name: step.name, type: stepType(step) };
  if (state === undefined) {
    return isOver ? { ...what, status: "done", outcome: "skipped" } : { ...what, status: "waiting" };
  }
  const { status, outcome, errorType, exitCode, signal, durationMs, output } = state;
  const reason = errorType === undefined ? undefined : knownErrorType(errorType);
  return {
    ...what,
    status,
    ...(outcome === undefined ? {} : { outcome, ...failedAs(outcome, reason, failureIn(state)) }),
    ...withoutUndefined({ exitCode, signal, duration_ms: durationMs, output: detailed ? output : undefined }),
  };
}
